import { expect } from 'vitest';
import { change } from '../support/changes.ts';
import { pairOf } from '../support/pair.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { workerOn } from '../support/worker.ts';
import { muster } from './command.ts';

/** One row that was missed, and one whose delete was. */
async function lostOn(db: TestDatabase): Promise<void> {
  await db.query('create table item (id int primary key, k text, kind text)');
  await db.query(`insert into item values (1, 'x', 'a'), (3, 'z', 'a')`);
  const worker = await workerOn(db, [pairOf()]);
  const at = Date.now() - 120_000;
  await worker.ingestor.ingest(change('c', 1, { id: 2, k: 'y', kind: 'b' }, { at }));
  await worker.ingestor.ingest(change('c', 2, { id: 3, k: 'z', kind: 'a' }, { at }));
  await worker.positions.exchange();
}

const LINES = ['a 1: is not held in its set x', 'b 2: is held in the set y, but not in the table'];

test('reconcile lists the rows that differ, and corrects them with --repair', async ({ db }) => {
  await lostOn(db);
  const run = (...args: string[]) =>
    muster({ DATABASE_URL: db.url }, ['reconcile', 'pair', '--source', db.url, ...args]);
  const [found, json] = [await run('--wait', '0'), await run('--wait', '0', '--json')];
  expect(found).toEqual({
    code: 1,
    stdout: `${[...LINES, 'pair: 4 rows compared, 2 differ; to correct this: --repair'].join('\n')}\n`,
    stderr:
      'a: compared with public.item\nb: compared with public.item\n2 rows differ; looking again after 0 s, since changes may be under way\n',
  });
  expect(JSON.parse(json.stdout)).toMatchObject({
    function: 'pair',
    differences: [
      { part: 'a', id: '1', kind: 'missing', key: 'x', heldKey: null },
      { part: 'b', id: '2', kind: 'gone', key: null, heldKey: 'y' },
    ],
  });
  expect(await run('--wait', '0', '--repair')).toMatchObject({
    code: 0,
    stdout: `${[...LINES, 'pair: 4 rows compared, 2 differ, 2 corrected'].join('\n')}\n`,
  });
  expect(await run()).toMatchObject({ code: 0, stdout: 'pair: 4 rows compared, 0 differ\n' });
});

test('reconcile reports what is wrong with its arguments', async ({ db }) => {
  await lostOn(db);
  const run = async (...args: string[]) => {
    const { code, stderr } = await muster({ DATABASE_URL: db.url }, ['reconcile', ...args]);
    return [code, stderr.split('\n')[0]];
  };
  expect(await run('pair')).toEqual([2, 'muster: name the source database: --source <url>']);
  expect(await run('pair', '--source', 'mysql://db/app')).toEqual([
    2,
    'muster: --source is of MySQL, but only works with PostgreSQL: it reads its tables and the end of its log. Changes of MySQL come from Debezium',
  ]);
  expect(await run('pair', '--source', db.url, '--wait', 'x')).toEqual([
    2,
    "muster: --wait must be a whole number, not 'x'",
  ]);
  expect(await run('pear', '--source', db.url)).toEqual([
    1,
    "muster: function 'pear' is not registered (registered: pair)",
  ]);
  await db.query('alter table item drop column kind');
  const { code, stdout } = await muster({ DATABASE_URL: db.url }, [
    'reconcile',
    'pair',
    '--source',
    db.url,
  ]);
  const why = 'was not compared: public.item of the source has no column kind';
  expect([code, stdout.split('\n')]).toEqual([
    1,
    [`a ${why}`, `b ${why}`, 'pair: 0 rows compared, 0 differ', ''],
  ]);
});
