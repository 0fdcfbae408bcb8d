/** A source with a standby, which a test kills and promotes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { failover } from '../../src/doctor/source/failover.ts';
import type { SourceContext } from '../../src/doctor/source/wal.ts';
import { remedies, reportOf } from '../doctor/examination.ts';
import { startProxy } from './proxy.ts';
import { install } from './server.ts';
import { standbyOf } from './standby.ts';
import { databaseAt, type TestDatabase } from './test.ts';
import { until } from './until.ts';

/** A database that outlives its server: its pool ignores lost connections. */
function openDatabase(url: string): TestDatabase {
  const { db, close } = databaseAt(url);
  db.pool.on('connect', (client) => client.on('error', () => {}));
  onTestFinished(close);
  return db;
}

/** A primary whose commits wait for its standby, which copies slots, behind an address that follows the primary. */
export async function replicatedSource() {
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

/** Has both servers wait for each other, as the doctor suggests; resolves when the standby has its copy of the slot. */
export async function readyToFailOver(source: Replicated, examined: SourceContext): Promise<void> {
  expect(await reportOf(failover, examined)).toEqual([
    '✗ a standby may lack changes that are ingested: after a failover, other changes would have their positions',
  ]);
  // Both servers have the same settings, and a slot for the other.
  for (const statement of await remedies(failover, examined)) {
    await source.primary.query(statement);
    await source.survivor.query(statement);
  }
  await until(async () => (await reportOf(failover, examined))[0]!.startsWith('✓'));
  await copied(source, examined.slot);
}

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
