import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { failover } from '../../src/doctor/source/self-read.ts';
import {
  applyRemedies,
  remedies,
  reportOf,
  sourceOf as examinedSource,
} from '../doctor/examination.ts';
import { startProxy } from '../support/proxy.ts';
import type { TestProcess } from '../support/process.ts';
import { install } from '../support/server.ts';
import { standbyOf } from '../support/standby.ts';
import { databaseAt, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { caughtUp } from '../support/wal.ts';
import { compare, hasLogged, load, READING, sourceOf, WAITING } from './reading.ts';
import { test } from './test.ts';

/** A database that outlives its server: its pool ignores lost connections. */
function openDatabase(url: string): TestDatabase {
  const { db, close } = databaseAt(url);
  db.pool.on('connect', (client) => client.on('error', () => {}));
  onTestFinished(close);
  return db;
}

/** A primary whose commits wait for its standby, which copies slots, behind an address that follows the primary. */
async function replicatedSource() {
  const { server, url, data, remove } = await install();
  let killed: Promise<void> | undefined;
  const kill = () => {
    const [pid] = readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
    process.kill(Number(pid), 'SIGKILL');
    return server.stop(); // waits for its end
  };
  onTestFinished(async () => {
    await (killed ??= kill());
    await remove();
  });
  await server.start();
  const primary = openDatabase(`${url}/postgres`);
  await primary.query(`select pg_create_physical_replication_slot('standby')`);
  const settings = ['sync_replication_slots=on', 'hot_standby_feedback=on'];
  const flags = [...settings, 'primary_slot_name=standby'].flatMap((each) => ['-c', each]);
  const standby = await standbyOf(primary, { name: 'standby', flags });
  onTestFinished(() => standby.stop());
  const survivor = openDatabase(standby.url);
  await survivor.query(`select pg_create_physical_replication_slot('standby')`);
  await primary.query(`alter system set synchronous_standby_names = 'standby'`);
  await primary.query('select pg_reload_conf()');
  let proxy = await startProxy(primary.url);
  onTestFinished(() => proxy.close());
  return {
    primary,
    survivor,
    address: openDatabase(proxy.url),
    /** Ends the primary without a warning, and nothing listens at the address. */
    async kill() {
      await (killed ??= kill());
      await proxy.close();
    },
    /** Promotes the standby, and has the address follow. */
    async promote() {
      await survivor.query('select pg_promote()');
      proxy = await startProxy(standby.url, Number(new URL(proxy.url).port));
    },
  };
}

type Replicated = Awaited<ReturnType<typeof replicatedSource>>;

/** Resolves when the standby would keep its copy of the slot at a promotion. */
async function copied({ primary, survivor }: Replicated, slot: string): Promise<void> {
  await until(async () => {
    await primary.query('select pg_log_standby_snapshot()'); // which happens every 15 s
    await survivor.query('select pg_reload_conf()'); // wakes the copying, which sleeps for up to 30 s
    const rows = await survivor.query(
      'select from pg_replication_slots where slot_name = $1 and synced and not temporary',
      [slot],
    );
    return rows.length > 0;
  }, 30_000);
}

/** Resolves when more sets are written. */
async function more(writing: { readonly sets: number }): Promise<void> {
  const goal = writing.sets + 50;
  await until(() => writing.sets > goal);
}

async function readiness({ url }: TestProcess): Promise<string> {
  const response = await fetch(`${url}/health/readiness`);
  return `${response.status} ${await response.text()}`;
}

test('a source that fails over under load is read on: nothing is lost, nothing runs twice', async ({
  db,
  chaos,
}) => {
  const source = await replicatedSource();
  const { primary, survivor, address } = source;
  const settings = { ...(await sourceOf(primary)), SOURCE_DATABASE_URL: address.url };
  const slot = settings.WAL_SLOT;
  const first = chaos.launch(settings);
  await until(() => hasLogged(first, READING), 30_000);
  const second = await chaos.launch(settings).serving();
  await until(() => hasLogged(second, WAITING), 30_000);
  const before = await examinedSource(primary, [], { slot, reader: 'muster' });
  expect(await reportOf(failover, before)).toEqual([
    '✗ a standby may lack changes that are ingested: after a failover, other changes would have their positions',
  ]);
  // Both servers have the same settings, and a slot for the other.
  for (const statement of await remedies(failover, before)) {
    await primary.query(statement);
    await survivor.query(statement);
  }
  await until(async () => (await reportOf(failover, before))[0]!.startsWith('✓'));
  await copied(source, slot);

  const writing = load(address);
  await more(writing);
  await source.kill();
  first.kill('SIGKILL');
  await until(() => writing.lost > 0);
  await source.promote();

  // The new primary waits for a standby, too, and has none yet.
  const cause = 'the standby of the slot standby has it, and that is not connected';
  await until(async () => (await readiness(second)).includes(cause), 30_000);
  const { done: held } = await compare(survivor, db);
  await more(writing);
  expect((await compare(survivor, db)).done).toBe(held);
  const after = await examinedSource(survivor, [], { slot, reader: 'muster' });
  expect(await reportOf(failover, after)).toEqual([`✗ no change is sent before ${cause}`]);
  await applyRemedies(failover, after, survivor);
  await until(async () => (await readiness(second)) === '200 ready');
  await more(writing);
  const sets = await writing.stop();

  await until(async () => (await compare(survivor, db)).lost === 0, 40_000);
  await caughtUp(survivor, slot);
  const { done, ...faults } = await compare(survivor, db);
  expect(faults).toEqual({ lost: 0, twice: 0 });
  expect(done).toBeGreaterThanOrEqual(sets);
  expect(hasLogged(second, 'reading the rows of tables')).toBe(false);
}, 120_000);
