import { expect } from 'vitest';
import { capture } from '../../../src/intake/wal/captured-table.ts';
import type { Column } from '../../../src/intake/wal/source-table.ts';
import { readImages, type RowMessage } from '../../../src/intake/wal/pgoutput.ts';
import { toChanges } from '../../../src/intake/wal/row-changes.ts';
import { muster } from '../../cli/command.ts';
import { pairOf } from '../../support/pair.ts';
import { serverOn } from '../../support/engine.ts';
import { test } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { readerOn } from '../../support/wal.ts';

const AT = {
  lsn: 7n,
  lastCommit: 9n,
  txId: 1,
  at: 1_700_000_000_000_000n,
  snapshot: 'false',
} as const;

const column = (name: string, more: Partial<Column> = {}): Column => ({
  name,
  base: 'text',
  kind: 'b',
  isBuiltIn: true,
  isArray: false,
  typmod: -1,
  primaryKey: name === 'id',
  nullable: true,
  hasDefault: false,
  ...more,
});

/** An insert of these values, each with its kind. */
function insertOf(values: readonly (readonly [kind: string, text: string])[]): RowMessage {
  const head = Buffer.from([0x49, 0, 0, 0, 1, 0x4e, 0, values.length]);
  const parts = values.flatMap(([kind, text]) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Buffer.byteLength(text));
    return [Buffer.from(kind), length, Buffer.from(text)];
  });
  return { kind: 'row', op: 'c', relation: 1, bytes: Buffer.concat([head, ...parts]) };
}

test('a message that can not be read becomes an event to park, as the server sent it', () => {
  const columns = [column('id'), column('k')];
  const table = capture(
    { database: 'app', schema: 'public', name: 'item', isPartitioned: false, columns },
    new Set(['id', 'k']),
  );
  const good = insertOf([
    ['t', '1'],
    ['t', 'x'],
  ]);
  expect(readImages(good, null)).toEqual({ before: null, isWhole: false, after: ['1', 'x'] });
  expect(readImages(good, [false, true]).after).toEqual([undefined, 'x']);
  const bad = insertOf([
    ['t', '1'],
    ['b', 'x'],
  ]);
  const [read] = toChanges(bad, table, AT, 'wal:test');
  if (read?.kind !== 'bad') throw new Error('it was read');
  expect(read.detail).toBe(
    'the change could not be read from the log: a value of kind 98 is unknown',
  );
  expect(JSON.parse(Buffer.from(read.origin.body).toString())).toEqual({
    table: 'public.item',
    lsn: '7',
    sent: bad.bytes.toString('base64'),
  });
});

test('a change that the state refuses is parked and the stream goes on; it can be redelivered', async ({
  db,
}) => {
  await db.query('create table item (id text primary key, k text, kind text)');
  const reader = await readerOn(db, [pairOf()]);
  await reader.reading();
  const long = 'k'.repeat(2_000);
  await db.query(`insert into item values ('1', $1, 'a')`, [long]);
  await db.query(`insert into item values ('2', 'x', 'a'), ('3', 'x', 'b')`);
  const done = `select from muster.run where state = 'done'`;
  await until(async () => (await db.query(done)).length === 1);
  await until(async () => (await db.query('select from muster.parked')).length === 1);
  const parked = await db.query<{ reason: string; body: string }>(
    `select reason, convert_from(body, 'utf8') as body from muster.parked`,
  );
  expect(parked.map(({ reason }) => reason)).toEqual(['bad-key']);
  const { op, source, after } = JSON.parse(parked[0]!.body) as Record<string, unknown>;
  expect({ op, source, after }).toMatchObject({
    op: 'c',
    source: { name: `wal:${reader.slot}`, schema: 'public', table: 'item', snapshot: 'false' },
    after: { id: '1', k: long, kind: 'a' },
  });
  await reader.stop();

  const server = await serverOn(db, [pairOf()]);
  const { stdout } = await muster({ DATABASE_URL: db.url }, ['redeliver', '--to', server.url]);
  expect(stdout).toContain('0 redelivered, 1 left');
  await server.stop();
});
