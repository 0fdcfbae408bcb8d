import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { muster } from '../cli/command.ts';
import { serverOn } from '../support/engine.ts';
import { until } from '../support/until.ts';
import { hasRun, inStep, pair } from './support/items.ts';
import { test } from './support/test.ts';

test(
  'changes of MariaDB arrive in order through the connector for MySQL, also after its crash and after RESET MASTER',
  { timeout: 180_000 },
  async ({ mysql, db }) => {
    const server = await serverOn(db, [pair]);
    onTestFinished(() => server.stop());
    const query = (sql: string) => mysql.db.query(sql);
    await query(`insert into shop.item values (1, 'old', 'a'), (2, 'old', 'b'), (3, 'half', 'a')`);
    await mysql.startSource(server.url);
    const connect = await mysql.startConnect();
    await inStep(db, mysql);
    await query(`insert into shop.item values (4, 'half', 'b'), (5, 'x', 'a'), (6, 'y', 'a')`);
    await hasRun(db, 'half');
    await query(
      `begin; update shop.item set k = 'z' where id = 5; update shop.item set k = 'x2' where id = 5; commit;
       insert into shop.item values (6, '', 'a'), (6, '', 'b') on duplicate key update k = concat(k, '!'), kind = values(kind);
       update shop.item set id = id + 1 where id in (5, 6) order by id desc;
       delete from shop.item where id = 3;
       flush logs;
       insert into shop.item values (8, 'x2', 'b'), (9, 'gone', 'a')`,
    );
    await inStep(db, mysql);
    await hasRun(db, 'x2');

    // otherwise it takes another snapshot, which does not contain deletes
    const { offsetsFile } = connect;
    const hasOffsets = () =>
      existsSync(offsetsFile) && /mysql-bin\.000002/.test(readFileSync(offsetsFile, 'latin1'));
    await until(hasOffsets, 20_000);
    await connect.kill();
    await query(
      `update shop.item set k = 'x3' where id in (6, 8); delete from shop.item where id = 9`,
    );
    await connect.restart();
    await inStep(db, mysql);
    expect(await db.query('select reason, detail from muster.parked')).toEqual([]);

    await connect.kill();
    await sleep(1_100); // times in a binlog are in seconds
    await query(`reset master; update shop.item set k = 'x4' where id in (6, 8)`);
    await connect.restart();
    await until(async () => (await db.query('select from muster.parked')).length > 0, 30_000);
    expect(await db.query('select distinct reason from muster.parked')).toEqual([
      { reason: 'position-restarted' },
    ]);
    const env = { DATABASE_URL: db.url };
    expect(await muster(env, ['epoch', 'bump', mysql.name])).toMatchObject({ code: 0 });
    const redeliver = ['redeliver', '--reason', 'position-restarted', '--to', server.url];
    expect(await muster(env, redeliver)).toMatchObject({ code: 0 });
    await query(
      `update shop.item set k = 'x5' where id = 6; insert into shop.item values (10, 'x5', 'b')`,
    );
    await inStep(db, mysql);
    await hasRun(db, 'x5');
    await mysql.snapshot();
    await until(
      async () =>
        /"snapshot":"incremental"/.test(JSON.stringify(await mysql.records()).replaceAll('\\', '')),
      30_000,
    );

    await query('truncate shop.item');
    await inStep(db, mysql);
    expect(await db.query('select reason, detail from muster.parked')).toEqual([]);
    const old = await db.query(`select key from muster.run where revision = 0`);
    expect(old).toEqual([{ key: 'old' }]);
  },
);
