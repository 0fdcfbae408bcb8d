import { expect, onTestFinished } from 'vitest';
import { serverOn } from '../support/engine.ts';
import { hasRun, inStep, pair } from './support/items.ts';
import { test } from './support/test.ts';

/** The GTIDs of the records in a topic, in their order. */
const GTID = /"gtid":"(\d+-\d+-\d+)"/;

test(
  'MariaDB fails over twice, and changes go on in their order without a person',
  { timeout: 240_000 },
  async ({ mariadb, db }) => {
    const server = await serverOn(db, [pair]);
    onTestFinished(() => server.stop());
    const query = (sql: string) => mariadb.db.query(sql);
    // each server has higher numbers of files than the next one
    const flush = (times: number) => query('flush logs;'.repeat(times));
    await flush(20);
    await query(`insert into shop.item values (1, 'one', 'a'), (2, 'one', 'b'), (3, 'half', 'a')`);
    // unordered, the last changes of one server and the first of the next might overtake each other, and be parked
    await mariadb.startSource(server.url, 'ordered');
    const reconnects = { 'connect.keep.alive.interval.ms': '500' };
    await mariadb.startConnect([mariadb.connector(reconnects)]);
    await inStep(db, mariadb);
    await query(
      `update shop.item set k = 'first' where id = 3; insert into shop.item values (4, 'x', 'b')`,
    );
    await inStep(db, mariadb);

    // while the connector reads: it connects again by itself
    const second = await mariadb.startReplica();
    await query(`update shop.item set k = 'second' where id = 3`);
    await mariadb.failOver(second);
    await query(
      `update shop.item set k = 'third' where id = 3; insert into shop.item values (5, 'third', 'b')`,
    );
    await inStep(db, mariadb);
    await hasRun(db, 'third');

    // while it does not: it reads the last transactions of the old server from the new one
    await flush(10);
    await query(`insert into shop.item values (6, 'y', 'a')`);
    await inStep(db, mariadb);
    const third = await mariadb.startReplica();
    mariadb.cutOff();
    await query(
      `update shop.item set k = 'fourth' where id = 3; update shop.item set k = 'fourth' where id = 4;
       delete from shop.item where id = 5`,
    );
    await mariadb.failOver(third);
    await query(`update shop.item set k = 'fifth' where id in (3, 4)`);
    await inStep(db, mariadb);
    await hasRun(db, 'fifth');

    expect(await db.query('select reason, detail from muster.parked')).toEqual([]);
    const [source] = await db.query<{ epoch: number }>(
      'select epoch from muster.source where name = $1',
      [mariadb.name],
    );
    expect(source!.epoch).toBeGreaterThanOrEqual(2);
    const records = await mariadb.records();
    const servers = records.map(({ value }) => GTID.exec(value ?? '')?.[1]?.split('-')[1]);
    expect(new Set(servers.filter((each) => each !== undefined))).toEqual(new Set(['1', '2', '3']));
  },
);
