import { expect, onTestFinished } from 'vitest';
import { pairOf } from '../../support/pair.ts';
import { install } from '../../support/server.ts';
import { databaseAt, test } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { caughtUp, readerOn } from '../../support/wal.ts';

test.for([
  ['16', undefined],
  ['17', true],
] as const)(
  'PostgreSQL %s is a source: its rows are read once, then its changes, also by the next process',
  async ([version, failover], { db }) => {
    const { server, url, remove } = await install([], version);
    await server.start();
    const { db: source, close } = databaseAt(`${url}/postgres`);
    source.pool.on('connect', (client) => client.on('error', () => {}));
    onTestFinished(async () => {
      await close();
      await server.stop();
      await remove();
    });
    await source.query('create table item (id text primary key, k text, kind text)');
    await source.query(
      `insert into item values ('xa', 'x', 'a'), ('xb', 'x', 'b'), ('ya', 'y', 'a')`,
    );
    const runs = () =>
      db.query(`select key, revision from muster.run where state = 'done' order by key`);

    const reader = await readerOn(db, [pairOf()], { source });
    await reader.reading();
    await source.query(`insert into item values ('yb', 'y', 'b')`);
    await until(async () => (await runs()).length === 2);
    await caughtUp(source, reader.slot);
    await reader.stop();
    await source.query(`insert into item values ('za', 'z', 'a'), ('zb', 'z', 'b')`);
    const next = await readerOn(db, [pairOf()], { source, slot: reader.slot });
    await until(async () => (await runs()).length === 3);
    expect(await runs()).toEqual([
      { key: 'x', revision: 0 },
      { key: 'y', revision: 1 },
      { key: 'z', revision: 1 },
    ]);
    expect((await next.metrics.walChanges.get()).values).toContainEqual(
      expect.objectContaining({ labels: { kind: 'read' }, value: 0 }),
    );
    const [slot] = await source.query<{ failover?: boolean }>(
      `select to_jsonb(s) -> 'failover' as failover from pg_replication_slots s`,
    );
    expect(slot!.failover ?? undefined).toBe(failover);
  },
);
