import pg from 'pg';
import { expect, test } from 'vitest';
import { version } from '../../src/doctor/database/server.ts';
import { commits, standbys } from '../../src/doctor/database/durability.ts';
import { roles } from '../../src/doctor/database/login.ts';
import { slot, walLevel } from '../../src/doctor/source/wal.ts';
import { Replication } from '../../src/intake/wal/connection.ts';
import { openInspector } from '../../src/state/database/inspector.ts';
import { install } from '../support/server.ts';
import { standbyOf } from '../support/standby.ts';
import { until } from '../support/until.ts';
import { dropSlot } from '../support/wal.ts';
import { applyRemedies, reportOf, stateOf } from './examination.ts';
import type { TestDatabase } from '../support/test.ts';

test(
  'reports problems of a server as a whole: standbys, settings, roles',
  { timeout: 60_000 },
  async () => {
    const { server, url, remove } = await install();
    await server.start();
    const primary = await databaseAt(`${url}/postgres`);
    const context = await stateOf(primary);
    expect(await reportOf(standbys, context)).toEqual(['✓ none']);
    const source = {
      ...context,
      slot: 'small',
      publication: 'muster',
      name: 'postgres',
      state: null,
      reader: 'connector' as const,
      decimals: 'precise' as const,
    };

    expect(await reportOf(roles, context)).toEqual([
      '✗ missing: muster_intake, muster_run, muster_read, muster_keda; without them each process needs a login with all privileges',
    ]);

    const others = [await replication(url, 'database'), await replication(url, 'true')];
    expect(await walSenders(primary)).toEqual(['startup', 'startup']);
    expect(await reportOf(standbys, context)).toEqual(['✓ none']);
    others[1]!.query(`BASE_BACKUP (checkpoint 'spread')`).catch(() => undefined);
    await until(async () => (await walSenders(primary)).includes('backup'));
    expect(await reportOf(standbys, context)).toEqual(['✓ none']);
    await Promise.all(others.map((other) => other.end()));
    const reader = await logicalReader(primary, 'reader');
    await until(async () => (await walSenders(primary)).includes('streaming'));
    expect(await reportOf(standbys, context)).toEqual(['✓ none']);
    await reader.close(0n);
    await dropSlot(primary, 'reader');

    const standby = await standbyOf(primary, {
      name: 'replica',
      flags: ['-c', 'wal_level=replica'],
    });
    const inspector = await openInspector(standby.url);
    expect(await reportOf(version, { ...context, inspector })).toEqual([
      '✗ this is a standby, which is read-only',
    ]);
    expect(await reportOf(walLevel, { ...source, inspector })).toEqual([
      '✗ replica: the log does not contain the changed rows',
    ]);
    await until(async () => (await reportOf(standbys, context))[0] !== '✓ none');
    expect(await reportOf(standbys, context)).toEqual([
      '✗ only asynchronous standbys (replica): a failover loses acknowledged events',
    ]);
    await applyRemedies(standbys, context, primary);
    await until(async () => (await reportOf(standbys, context))[0]!.startsWith('✓'));
    expect(await reportOf(standbys, context)).toEqual([
      '✓ 1 standby server, 1 of them synchronous',
    ]);

    await inspector.close();
    await standby.stop();
    await until(async () => (await reportOf(standbys, context))[0]!.startsWith('✗'));
    expect(await reportOf(standbys, context)).toEqual([
      `✗ synchronous_standby_names is 'ANY 1 ("replica")' but no such standby is connected: commits wait indefinitely`,
    ]);

    expect(await reportOf(commits, context)).toEqual(['✓ synchronous_commit on, fsync on']);
    await primary.query('alter system set fsync = off');
    await primary.query('select pg_reload_conf()');
    await until(async () => (await reportOf(commits, context))[0]!.startsWith('✗'));
    expect(await reportOf(commits, context)).toEqual([
      '✗ fsync is off, full_page_writes is on: a machine crash loses acknowledged events',
    ]);

    await fillLog(primary, 'small');
    expect(await reportOf(slot, source)).toEqual([
      expect.stringMatching(
        /^✗ small is about to be lost: \d+ MiB of log retained, beyond max_slot_wal_keep_size \(1MB\)$/,
      ),
    ]);
    await applyRemedies(slot, source, primary);
    await until(async () => (await reportOf(slot, source))[0]!.startsWith('✗ nothing reads small'));
    await primary.query(`alter system set max_slot_wal_keep_size = '1MB'`);
    await primary.query('select pg_reload_conf()');
    await until(async () => {
      await primary.query('checkpoint'); // the first ones may not have the setting yet
      return (await reportOf(slot, source))[0]!.startsWith('✗ small is lost');
    });
    expect(await reportOf(slot, source)).toEqual([
      '✗ small is lost: the log it needs was removed, and changes with it',
    ]);
    await applyRemedies(slot, source, primary);
    expect((await reportOf(slot, source))[0]).toMatch(/^✗ there is no slot small/);

    await context.inspector.close();
    await primary.pool.end();
    await server.stop();
    await remove();
  },
);

/** Creates a slot that nothing reads, and writes more log behind it than the server may retain. */
async function fillLog(primary: TestDatabase, name: string): Promise<void> {
  await primary.query(`alter system set synchronous_standby_names = ''`);
  await primary.query(`alter system set max_slot_wal_keep_size = '1MB'`);
  await primary.query('select pg_reload_conf()');
  await primary.query('select pg_create_logical_replication_slot($1, $2)', [name, 'pgoutput']);
  for (let segment = 0; segment < 3; segment++) {
    await primary.query(`select pg_logical_emit_message(false, 'test', repeat('x', 1000000))`);
    await primary.query('select pg_switch_wal()');
  }
}

/** Connects as a logical reader does before it names its slot (`database`), or as a standby or a backup does (`true`). */
async function replication(url: string, mode: string): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: `${url}/postgres`,
    replication: mode,
  } as object);
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** Streams a new logical slot, as a connector does. */
async function logicalReader(primary: TestDatabase, name: string): Promise<Replication> {
  await primary.query(`create publication ${name}`);
  await primary.query('select pg_create_logical_replication_slot($1, $2)', [name, 'pgoutput']);
  return Replication.start(primary.url, name, 0n, { message() {}, keepalive() {} });
}

/** Returns the states of all connections that read the server's log or files. */
async function walSenders(primary: TestDatabase): Promise<readonly string[]> {
  const rows = await primary.query<{ state: string }>('select state from pg_stat_replication');
  return rows.map(({ state }) => state);
}

async function databaseAt(url: string): Promise<TestDatabase> {
  const pool = new pg.Pool({ connectionString: url, max: 2 });
  pool.on('error', () => {});
  return {
    url,
    pool,
    query: async <R extends object>(text: string, values?: unknown[]) =>
      (await pool.query<R>(text, values)).rows,
  };
}
