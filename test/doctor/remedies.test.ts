import { expect } from 'vitest';
import { publication } from '../../src/doctor/source/publication.ts';
import type { SourceContext } from '../../src/doctor/source/wal.ts';
import { identity, tables } from '../../src/doctor/source/source-tables.ts';
import type { FunctionDefinition, Part } from '../../src/function.ts';
import { UNAVAILABLE } from '../../src/state/change.ts';
import { change } from '../support/changes.ts';
import { workerOn } from '../support/worker.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { applyRemedies, remedies, reportOf, sourceOf } from './examination.ts';

/** In the order in which the doctor prints them, and thus in which a person applies the remedies. */
const CHECKS = [tables, identity, publication];

function on(part: Partial<Part> = {}): FunctionDefinition {
  const first = { table: 'public.item', key: 'k', ...part };
  return { name: 'shop', parts: { a: first }, handle() {} };
}

async function problems(context: SourceContext): Promise<string[]> {
  const found: string[] = [];
  for (const check of CHECKS) found.push(...(await reportOf(check, context)));
  return found.filter((line) => line.startsWith('✗'));
}

/** Writes as the application does, and returns the writes that fail. */
async function refused(db: TestDatabase): Promise<string[]> {
  const writes = [
    `insert into item (id, k, body) values (99, 'x', 'y') on conflict do nothing`,
    `update item set body = 'z' where id = 99`,
    'delete from item where id = 99',
    `update item set body = body`,
  ];
  const failed: string[] = [];
  for (const write of writes) {
    await db.query(write).catch((error: Error) => failed.push(`${write}: ${error.message}`));
  }
  return failed;
}

const LONG = `(select string_agg(md5(i::text), '') from generate_series(1, 400) i)`;
const PLAIN = 'create table item (id int primary key, k text, body text)';
const STORED = `create table item (id int primary key, k text, body text,
  code text generated always as (upper(k)) stored)`;
const FULL = 'alter table item replica identity full';
const PARTITIONED = `create table item (id int primary key, k text, body text,
    code text generated always as (upper(k)) stored) partition by hash (id);
  create table item_0 partition of item for values with (modulus 2, remainder 0);
  create table item_1 partition of item for values with (modulus 2, remainder 1)`;
const some = `insert into item (id, k, body) values (1, 'a', 'b')`;
const long = `insert into item (id, k, body) select i, ${LONG}, 'b' from generate_series(1, 4) i`;

test.for<[title: string, setup: string[], definition: FunctionDefinition, ...expected: string[]]>([
  [
    'a stored generated column that is not published',
    [STORED, some, 'create publication muster for table item'],
    on({ where: { code: 'A' } }),
    '✗ muster does not send code (generated) of public.item',
  ],
  [
    'a stored generated column that a column list omits',
    [STORED, some, 'create publication muster for table item (id, k, body)'],
    on({ where: { code: 'A' } }),
    '✗ muster does not send code (generated) of public.item',
  ],
  [
    'columns of both kinds that a column list omits',
    [STORED, some, 'create publication muster for table item (id, body)'],
    on({ where: { code: 'A' } }),
    '✗ muster does not send k, code (generated) of public.item',
  ],
  [
    'a stored generated column in a publication for all tables',
    [STORED, some, 'drop schema muster cascade', 'create publication muster for all tables'],
    on({ where: { code: 'A' } }),
    '✗ muster does not send code (generated) of public.item',
  ],
  [
    'a stored generated column, and no publication',
    [STORED, some],
    on({ where: { code: 'A' } }),
    '✗ there is no publication muster',
  ],
  [
    'a stored generated column, and a publication without the table',
    [
      STORED,
      some,
      'create table other (id int primary key)',
      'create publication muster for table other',
    ],
    on({ where: { code: 'A' } }),
    '✗ muster does not publish public.item: none of its changes arrive',
  ],
  [
    'a partitioned table with a stored generated column, and no publication',
    [PARTITIONED, some],
    on({ where: { code: 'A' } }),
    '✗ there is no publication muster',
  ],
  [
    'a partitioned table whose partitions are published',
    [PARTITIONED, some, 'create publication muster for table item'],
    on({ where: { code: 'A' } }),
    '✗ public.item is partitioned, and muster publishes each partition under its own name',
  ],
  [
    'a long key',
    [PLAIN, long, 'create publication muster for table item'],
    on(),
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
  ],
  [
    'a long key beside a stored generated column',
    [
      STORED,
      long,
      'create publication muster for table item',
      'create publication other for table item',
    ],
    on(),
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
  ],
  [
    'a long key beside a stored generated column, and no publication',
    [STORED, long],
    on(),
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
    '✗ there is no publication muster',
  ],
  [
    'a long key, and a column list',
    [STORED, long, 'create publication muster for table item (id, k)'],
    on(),
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
  ],
  [
    'a long key in partitions',
    [
      PARTITIONED,
      long,
      'create publication muster for table item with (publish_via_partition_root = true)',
    ],
    on(),
    '✗ public.item: k may be stored out of line, and updates that leave it unchanged do not send it: if Muster does not have the row, they are parked',
  ],
  [
    'a full identity with a generated column that is not published',
    [STORED, some, FULL, 'create publication muster for table item'],
    on(),
    '✗ public.item: full, and muster does not send code, which is generated: updates and deletes of the table fail',
  ],
  [
    'a full identity with a generated column that another publication omits',
    [
      STORED,
      some,
      FULL,
      'create publication muster for table item with (publish_generated_columns = stored)',
      'create publication other for table item',
    ],
    on(),
    '✗ public.item: full, and other does not send code, which is generated: updates and deletes of the table fail',
  ],
  [
    'a full identity with a virtual generated column',
    [
      'create table item (id int primary key, k text, body text, code text generated always as (k || body) virtual)',
      some,
      FULL,
      'create publication muster for table item with (publish_generated_columns = stored)',
    ],
    on(),
    '✗ public.item: full, and muster does not send code, which is generated: updates and deletes of the table fail',
  ],
  [
    'a full identity with a column list',
    [PLAIN, some, FULL, 'create publication muster for table item (id, k, body)'],
    on(),
    '✗ public.item: the column list in muster does not cover its replica identity: its updates and deletes fail',
  ],
  [
    'a column list without the primary key',
    [PLAIN, some, 'create publication muster for table item (k, body)'],
    on(),
    '✗ public.item: the column list in muster does not cover its replica identity: its updates and deletes fail',
    '✗ muster does not send id of public.item',
  ],
  [
    'no primary key, and no publication',
    ['create table item (id int, k text, body text)', some],
    on(),
    '✗ public.item has no primary key, and id, the id of part a of shop, is not unique',
    '✗ public.item has no replica identity: its updates and deletes fail as soon as it is published',
    '✗ there is no publication muster',
  ],
])(
  '%s: the suggested remedies fix it, and the application can still write',
  async ([, setup, definition, ...expected], { db }) => {
    for (const statement of setup) await db.query(statement);
    const context = await sourceOf(db, [definition]);
    expect(await problems(context)).toEqual(expected);
    const broken: string[] = [];
    let before = await refused(db);
    for (const check of CHECKS) {
      for (const statement of await remedies(check, context)) {
        await db.query(statement);
        const after = await refused(db);
        if (before.length === 0) broken.push(...after.map((each) => `${statement} ${each}`));
        before = after;
      }
    }
    expect(broken).toEqual([]);
    expect(before).toEqual([]);
    expect(await problems(context)).toEqual([]);
  },
);

test('a virtual generated column never arrives, so another must be used', async ({ db }) => {
  await db.query(
    'create table item (id int primary key, k text, code text generated always as (upper(k)) virtual)',
  );
  await db.query('create publication muster for table item');
  const context = await sourceOf(db, [on({ where: { code: 'A' } })]);
  await expect(tables.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message:
        'code of public.item is a virtual generated column, which change events never include',
      remedy: 'use another column in functions/shop.ts',
    },
  ]);
  expect(await reportOf(publication, context)).toEqual(['✓ muster publishes public.item']);
});

test('does not suggest a full identity that would break the application', async ({ db }) => {
  await db.query(
    'create table item (id int primary key, k text, body text, code text generated always as (upper(body)) virtual)',
  );
  await db.query(long);
  const [finding] = await identity.run(await sourceOf(db, [on()]));
  expect(finding!.remedy).toMatch(/^use a column other than k: /);
});

test('reports a column that an update omitted, even if it is short now; the update is ingested once its row was sent again', async ({
  db,
}) => {
  await db.query(PLAIN);
  await db.query(some);
  await db.query('create publication muster for table item');
  const context = await sourceOf(db, [on()]);
  expect((await reportOf(identity, context))[0]).toMatch(/^✓ .* k short in 1 row/);
  const { ingestor } = await workerOn(db, [on()]);
  const update = change('u', 2, { id: 1, k: UNAVAILABLE });
  expect(await ingestor.ingest(update)).toMatchObject({
    kind: 'parked',
    reason: 'unavailable-column',
    detail: expect.stringContaining("'muster doctor --source <url>' lists the statements"),
  });

  const seen = { ...context, state: context.inspector };
  expect(await problems(seen)).toEqual([
    expect.stringMatching(/^✗ public\.item: k may be stored out of line/),
  ]);
  await applyRemedies(identity, seen, db);
  expect(await refused(db)).toEqual([]);
  expect(await problems(seen)).toEqual([]);
  const read = { op: 'r', lsn: null, snapshot: 'incremental' } as const;
  await ingestor.ingest({ ...change('u', 3, { id: 1, k: 'a' }), ...read });
  expect(await ingestor.ingest(update)).toEqual({ kind: 'ingested' });
});
