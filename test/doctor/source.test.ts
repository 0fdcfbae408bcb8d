import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { LogicalReplicationService, PgoutputPlugin } from 'pg-logical-replication';
import { expect, inject, onTestFinished } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { publication } from '../../src/doctor/source/publication.ts';
import { position, slot, walLevel, type SourceContext } from '../../src/doctor/source/source.ts';
import { ensureDatastore } from '../../dev/demo/datastore.ts';
import { pairOf } from '../support/pair.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { mend, inspectorOf, says, sourceOf } from './examination.ts';

/** The headbands' table, and what the function `recordings` needs of it. */
const test = base.extend<{ context: SourceContext }>({
  context: async ({ db }, use) => {
    const client = new pg.Client(db.url);
    await client.connect();
    await ensureDatastore(client);
    await client.end();
    await use(await sourceOf(db, [recordings], { slot: `s${randomUUID().slice(0, 8)}` }));
  },
});

test('a log that holds what changes were is fine', async ({ context }) => {
  expect(await says(walLevel, context)).toEqual(['✓ logical']);
});

test('a publication that is not there is made by the command that mends it', async ({
  db,
  context,
}) => {
  expect(await says(publication, context)).toEqual(['✗ there is no publication muster']);
  await mend(publication, context, db);
  expect(await says(publication, context)).toEqual(['✓ muster holds datastore.signal']);
});

test.for([
  [
    'for all tables',
    'create publication muster for all tables',
    /^✗ muster holds \d+ tables of Muster's own: each event it files makes further changes, without end$/,
  ],
  [
    "with one of Muster's tables",
    'create publication muster for table datastore.signal, muster.member',
    /^✗ muster holds 1 table of Muster's own/,
  ],
  [
    "of Muster's schema",
    'create publication muster for tables in schema muster, datastore',
    /^✗ muster holds \d+ tables of Muster's own/,
  ],
  [
    'without the table',
    'create publication muster for table recordings.processed',
    /^✗ muster does not hold datastore\.signal: none of its changes comes$/,
  ],
  [
    'without deletes',
    `create publication muster for table datastore.signal with (publish = 'insert, update')`,
    /^✗ muster does not publish every kind of change/,
  ],
  [
    'of some rows',
    `create publication muster for table datastore.signal where (sample_rate > 100) with (publish = 'insert')`,
    /^✗ muster sends only rows of datastore\.signal with \(sample_rate > /,
  ],
] as const)(
  'a publication %s is a problem until it is mended',
  async ([, make, expected], { db, context }) => {
    await db.query(make);
    expect(await says(publication, context)).toEqual(
      expect.arrayContaining([expect.stringMatching(expected)]),
    );
    await mend(publication, context, db);
    expect(await says(publication, context)).toEqual([
      expect.stringMatching(/^✓ muster holds datastore\.signal/),
    ]);
  },
);

test('a publication of some columns must have those that a function names', async ({
  db,
  context,
}) => {
  await db.query('create publication muster for table datastore.signal (id, recording, span)');
  expect(await says(publication, context)).toEqual([
    '✗ muster does not send sensor_type of datastore.signal',
  ]);
  await mend(publication, context, db);
  expect(await says(publication, context)).toEqual(['✓ muster holds datastore.signal']);
});

test('a partitioned table is published under its own name', async ({ db }) => {
  await db.query(
    'create table item (id int, k text, kind text, primary key (id)) partition by hash (id)',
  );
  await db.query('create table item_0 partition of item for values with (modulus 1, remainder 0)');
  await db.query('create publication muster for table item');
  const context = await sourceOf(db, [pairOf()]);
  expect(await says(publication, context)).toEqual([
    '✗ public.item is partitioned, and muster publishes each partition under its own name',
  ]);
  await mend(publication, context, db);
  expect(await says(publication, context)).toEqual(['✓ muster holds public.item']);
});

test('tables that no function names are told', async ({ db, context }) => {
  await db.query('create table weather (id int primary key)');
  await db.query('create publication muster for table datastore.signal, weather');
  expect(await says(publication, context)).toEqual([
    '✓ muster holds datastore.signal; of no function: public.weather',
  ]);
});

test('a slot is fine while somebody reads it', async ({ db, context }) => {
  const name = context.slot;
  expect(await says(slot, context)).toEqual([
    `✗ there is no slot ${name}: the connector, which makes it, has not run`,
  ]);
  await makeSlot(db, name, 'pgoutput');
  expect(await says(slot, context)).toEqual([
    expect.stringMatching(
      /^✗ nobody reads s\w+: \S+ \w+ of log held, no limit \(max_slot_wal_keep_size\), until the disk is full$/,
    ),
  ]);
  await db.query('create publication muster for table datastore.signal');
  const service = new LogicalReplicationService({ connectionString: db.url });
  service.on('error', () => {});
  void service.subscribe(
    new PgoutputPlugin({ protoVersion: 1, publicationNames: ['muster'] }),
    name,
  );
  await until(async () => (await says(slot, context))[0]!.startsWith('✓'));
  expect(await says(slot, context)).toEqual([
    expect.stringMatching(/^✓ s\w+ is read, \S+ \w+ of log held, no limit/),
  ]);
  await service.stop();
});

test('a slot that is gone after the source has streamed is one that was dropped', async ({
  db,
  context,
}) => {
  await db.query(
    `insert into muster.source (name, lsn, at, streamed_at) values ('postgres', 1000, 0, 0)`,
  );
  expect(await says(slot, { ...context, state: context.inspector })).toEqual([
    `✗ there is no slot ${context.slot}, though postgres has streamed: what was written since it went is not in any event`,
  ]);
});

test('a slot of another kind is not the one', async ({ db, context }) => {
  const elsewhere = new URL(db.url);
  elsewhere.pathname = '/postgres';
  await makeSlot(db, context.slot, 'pgoutput');
  const inspector = await inspectorOf({ url: elsewhere.href });
  expect(await says(slot, { ...context, inspector })).toEqual([
    expect.stringMatching(
      /^✗ s\w+ is a logical slot of pgoutput in database test_\w+: pgoutput in postgres is expected$/,
    ),
  ]);
});

test('a source that stands behind what was seen of it was restored', async ({ db, context }) => {
  const seen = { ...context, state: context.inspector };
  expect(await says(position, seen)).toEqual(["✓ nothing of a source 'postgres' has arrived yet"]);
  await db.query(`insert into muster.source (name, lsn, at) values ('postgres', 1000, 0)`);
  expect(await says(position, seen)).toEqual([
    expect.stringMatching(/^✓ epoch 0: 1000 was seen, the log is at \d+$/),
  ]);
  await db.query('update muster.source set lsn = 1::bigint << 50');
  expect(await says(position, seen)).toEqual([
    expect.stringMatching(
      /^✗ epoch 0: 1125899906842624 was seen, .*: the source was restored or made anew$/,
    ),
  ]);
});

test('without the state database nobody knows the newest position', async ({ context }) => {
  await expect(says(position, context)).rejects.toThrow('the state database, which knows');
});

/** A slot that goes with the test; the server is shared, and an idle one would keep its log. */
async function makeSlot(db: TestDatabase, name: string, plugin: string): Promise<void> {
  await db.query('select pg_create_logical_replication_slot($1, $2)', [name, plugin]);
  onTestFinished(async () => {
    const admin = new pg.Client(`${inject('serverUrl')}/postgres`);
    await admin.connect();
    await until(async () => {
      const { rows } = await admin.query(
        'select active from pg_replication_slots where slot_name = $1',
        [name],
      );
      return !rows[0]?.active;
    });
    await admin.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
      [name],
    );
    await admin.end();
  });
}
