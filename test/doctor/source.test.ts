import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { expect, inject, onTestFinished } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { publication } from '../../src/doctor/source/publication.ts';
import { position, slot, walLevel, type SourceContext } from '../../src/doctor/source/wal.ts';
import { Replication } from '../../src/intake/wal/connection.ts';
import { ensureDatastore } from '../../dev/demo/datastore.ts';
import { pairOf } from '../support/pair.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';
import { applyRemedies, inspectorOf, reportOf, sourceOf } from './examination.ts';

/** Creates the table of the headbands and a context for the function `recordings`. */
const test = base.extend<{ context: SourceContext }>({
  context: async ({ db }, use) => {
    const client = new pg.Client(db.url);
    await client.connect();
    await ensureDatastore(client);
    await client.end();
    await use(await sourceOf(db, [recordings], { slot: `s${randomUUID().slice(0, 8)}` }));
  },
});

test('a logical log is fine', async ({ context }) => {
  expect(await reportOf(walLevel, context)).toEqual(['✓ logical']);
});

test('the suggested command creates a missing publication', async ({ db, context }) => {
  expect(await reportOf(publication, context)).toEqual(['✗ there is no publication muster']);
  await applyRemedies(publication, context, db);
  expect(await reportOf(publication, context)).toEqual(['✓ muster publishes datastore.signal']);
});

test.for([
  [
    'for all tables',
    'create publication muster for all tables',
    /^✗ muster publishes \d+ tables of Muster's own: each ingested event causes further changes, endlessly$/,
  ],
  [
    "with one of Muster's tables",
    'create publication muster for table datastore.signal, muster.member',
    /^✗ muster publishes 1 table of Muster's own/,
  ],
  [
    "of Muster's schema",
    'create publication muster for tables in schema muster, datastore',
    /^✗ muster publishes \d+ tables of Muster's own/,
  ],
  [
    'without the table',
    'create publication muster for table recordings.processed',
    /^✗ muster does not publish datastore\.signal: none of its changes arrive$/,
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
  'a publication %s is a problem until it is fixed',
  async ([, make, expected], { db, context }) => {
    await db.query(make);
    expect(await reportOf(publication, context)).toEqual(
      expect.arrayContaining([expect.stringMatching(expected)]),
    );
    await applyRemedies(publication, context, db);
    expect(await reportOf(publication, context)).toEqual([
      expect.stringMatching(/^✓ muster publishes datastore\.signal/),
    ]);
  },
);

test('a publication with a column list must have the columns that a function uses', async ({
  db,
  context,
}) => {
  await db.query('create publication muster for table datastore.signal (id, recording, span)');
  expect(await reportOf(publication, context)).toEqual([
    '✗ muster does not send sensor_type of datastore.signal',
  ]);
  await applyRemedies(publication, context, db);
  expect(await reportOf(publication, context)).toEqual(['✓ muster publishes datastore.signal']);
});

test('a partitioned table is published under its own name', async ({ db }) => {
  await db.query(
    'create table item (id int, k text, kind text, primary key (id)) partition by hash (id)',
  );
  await db.query('create table item_0 partition of item for values with (modulus 1, remainder 0)');
  await db.query('create publication muster for table item');
  const context = await sourceOf(db, [pairOf()]);
  expect(await reportOf(publication, context)).toEqual([
    '✗ public.item is partitioned, and muster publishes each partition under its own name',
  ]);
  await applyRemedies(publication, context, db);
  expect(await reportOf(publication, context)).toEqual(['✓ muster publishes public.item']);
});

test('lists published tables that no function uses', async ({ db, context }) => {
  await db.query('create table weather (id int primary key)');
  await db.query('create publication muster for table datastore.signal, weather');
  expect(await reportOf(publication, context)).toEqual([
    '✓ muster publishes datastore.signal; not used by any function: public.weather',
  ]);
});

test('a slot is fine while it is being read', async ({ db, context }) => {
  const name = context.slot;
  expect(await reportOf(slot, context)).toEqual([
    `✗ there is no slot ${name}: the connector, which creates it, has not run`,
  ]);
  await makeSlot(db, name, 'pgoutput');
  expect(await reportOf(slot, context)).toEqual([
    expect.stringMatching(
      /^✗ nothing reads s\w+: \S+ \w+ of log retained, no limit \(max_slot_wal_keep_size\), until the disk is full$/,
    ),
  ]);
  await db.query('create publication muster for table datastore.signal');
  const reader = await Replication.start(db.url, name, 0n, { message() {}, keepalive() {} });
  await until(async () => (await reportOf(slot, context))[0]!.startsWith('✓'));
  expect(await reportOf(slot, context)).toEqual([
    expect.stringMatching(/^✓ s\w+ is read, \S+ \w+ of log retained, no limit/),
  ]);
  await reader.close(0n);
});

test('a slot that is missing although the source has streamed was dropped', async ({
  db,
  context,
}) => {
  await db.query(
    `insert into muster.source (name, lsn, at, streamed_at) values ('postgres', 1000, 0, 0)`,
  );
  expect(await reportOf(slot, { ...context, state: context.inspector })).toEqual([
    `✗ there is no slot ${context.slot}, although postgres has streamed: changes since it was dropped were not sent`,
  ]);
});

test('a slot of another database is a problem', async ({ db, context }) => {
  const elsewhere = new URL(db.url);
  elsewhere.pathname = '/postgres';
  await makeSlot(db, context.slot, 'pgoutput');
  const inspector = await inspectorOf({ url: elsewhere.href });
  expect(await reportOf(slot, { ...context, inspector })).toEqual([
    expect.stringMatching(
      /^✗ s\w+ is a logical slot of pgoutput in database test_\w+, expected pgoutput in postgres$/,
    ),
  ]);
});

test('a source whose log is behind the ingested position was restored', async ({ db, context }) => {
  const seen = { ...context, state: context.inspector };
  expect(await reportOf(position, seen)).toEqual([
    "✓ nothing has arrived from a source 'postgres' yet",
  ]);
  await db.query(`insert into muster.source (name, lsn, at) values ('postgres', 1000, 0)`);
  expect(await reportOf(position, seen)).toEqual([
    expect.stringMatching(/^✓ epoch 0: ingested up to 1000, the log is at \d+$/),
  ]);
  await db.query('update muster.source set lsn = 1::bigint << 50');
  expect(await reportOf(position, seen)).toEqual([
    expect.stringMatching(
      /^✗ epoch 0: ingested up to 1125899906842624, .*: the source was restored or recreated$/,
    ),
  ]);
});

test('the newest position can not be checked without the state database', async ({ context }) => {
  await expect(reportOf(position, context)).rejects.toThrow('the state database, which has');
});

/** Creates a slot that is dropped after the test: on the shared server an idle slot would retain log. */
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
