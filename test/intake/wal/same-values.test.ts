import { expect } from 'vitest';
import type { Change } from '../../../src/state/change.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { capture, type CapturedTable } from '../../../src/intake/wal/captured-table.ts';
import { connect, Replication } from '../../../src/intake/wal/connection.ts';
import { type BeginMessage, parseMessage } from '../../../src/intake/wal/pgoutput.ts';
import { type Read, toChanges, toReadChange } from '../../../src/intake/wal/row-changes.ts';
import { describeRelation, readTable } from '../../../src/intake/wal/source-table.ts';
import { test } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { dropSlot, newSlot } from '../../support/wal.ts';

/** A table with a column for each kind of value that is formatted in a way of its own. */
const TABLE = `
  create type mood as enum ('sad', 'ok');
  create domain price as numeric(10, 2);
  create table item (
    id bigint primary key, small int2, large int8, amount numeric(12, 3), any_amount numeric, cost price, fee money,
    ratio float8, single float4, is_new bool, bits bit(10), one_bit bit(1), data bytea, day date, at_time time(3), at timestamp,
    at_ms timestamp(3), zoned timestamptz, zoned_null timestamptz default now(), span tstzrange, doc jsonb, name text,
    mood mood, tags text[], numbers int8[], grid int[][], long_text text, "__proto__" text
  );
  alter table item alter column long_text set storage external;`;

const ROWS = [
  `(9007199254740993, -3, 9223372036854775807, 1.5, 12345678901234567890.5, 9.9, 12.34, 250, 1e-7, true,
    b'1010101010', b'1', '\\x00ff', '2026-11-21', '08:50:13.2', '2026-11-21 08:50:13.223456', '2026-11-21 08:50:13.2',
    '2026-11-21 08:50:13.22+02', null, '[2026-01-01,2026-01-02)', '{"a": [1, 2.5]}', 'Größe "x"', 'ok',
    '{a,null,"b c"}', '{1,9007199254740993}', '{{1,2},{3,4}}', repeat('long ', 2000), 'polluted')`,
  `(2, null, -9007199254740992, -0.001, 'NaN', null, -5, 'NaN', 'Infinity', false, null, b'0', null, null, null, null,
    null, '0001-01-01 00:00:00+00', now(), 'empty', 'null', '', null, '{}', null, null, null, null)`,
  `(3, 1, 1, 1000000000000000000000000, 1, 1, 1, 1e300, 1.5, null, null, null, '', 'infinity', '24:00', 'infinity', null,
    '-infinity', null, null, '9007199254740993', U&'\\FFFD', null, null, null, null, null, null)`.replace(
    '1000000000000000000000000, 1, 1',
    '1, 1000000000000000000000000, 1',
  ),
];

/** What intake reads from a message of Debezium with the same change. */
function asMessage({ origin }: Change): unknown {
  const event = { ...origin, attributes: origin.attributes, body: origin.body };
  return readChange({ ...event, type: origin.attributes['type']!, data: undefined });
}

function changeOf(read: Read): Change {
  if (read.kind === 'bad') throw new Error(read.detail);
  return read.change;
}

/** The change without its origin, and with each value as text, so that exact numbers can be compared. */
function comparable(change: unknown): unknown {
  const { origin: _, ...rest } = change as Record<string, unknown>;
  const text = JSON.stringify(rest, (_key, value: unknown) => {
    if (typeof value === 'bigint') return `${value}n`;
    return typeof value === 'symbol' ? `unavailable` : value;
  });
  return JSON.parse(text);
}

test('a change from the log equals that in a message of Debezium, value by value', async ({
  db,
}) => {
  await db.query(TABLE);
  const slot = newSlot();
  await db.query(`create publication ${slot} for table item`);
  await db.query(`select pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  const client = await connect(db.url, 'test');
  const changes: Change[] = [];
  try {
    for (const row of ROWS) await db.query(`insert into item values ${row}`);
    await db.query(`update item set small = 4`);
    await db.query(`update item set id = 4 where id = 2`);
    await db.query(`delete from item where id = 3`);
    await db.query(`alter table item replica identity full`);
    await db.query(`update item set small = 5`);
    await db.query(`delete from item`);

    let begin: BeginMessage | undefined;
    let table: CapturedTable | undefined;
    const messages: Buffer[] = [];
    const replication = await Replication.start(db.url, slot, 0n, {
      message: (_position, bytes) => void messages.push(Buffer.from(bytes)),
      keepalive: () => {},
    });
    await until(() => messages.filter((each) => each[0] === 0x43).length === 8);
    await replication.close(0n);
    for (const bytes of messages) {
      const message = parseMessage(bytes);
      if (message.kind === 'begin') begin = message;
      if (message.kind === 'relation') {
        const described = await describeRelation(client, message.relation);
        table = capture(described, new Set(described.columns.map(({ name }) => name)));
      }
      if (message.kind !== 'row') continue;
      const { commit, xid, at } = begin!;
      const place = { lsn: commit, lastCommit: commit, txId: xid, at, snapshot: 'false' } as const;
      changes.push(...toChanges(message, table!, place, 'wal:test').map(changeOf));
    }
  } finally {
    await client.end();
    await dropSlot(db, slot);
  }
  expect(changes.map((each) => each.kind === 'row' && each.op).join('')).toBe('cccuuudcduudd');
  for (const change of changes) expect(comparable(change)).toEqual(comparable(asMessage(change)));
});

test('a row that a snapshot reads equals that in a message of Debezium', async ({ db }) => {
  await db.query(TABLE);
  for (const row of ROWS) await db.query(`insert into item values ${row}`);
  const client = await connect(db.url, 'test');
  const described = await readTable(client, 'public.item');
  const table = capture(described, new Set(described.columns.map(({ name }) => name)));
  const names = table.columns.map(({ name }) => `"${name}"`).join();
  const types = { getTypeParser: () => (text: string) => text };
  const { rows } = await client.query<(string | null)[]>({
    text: `select ${names} from public.item`,
    rowMode: 'array',
    types,
  } as never);
  await client.end();
  expect(rows).toHaveLength(ROWS.length);
  for (const snapshot of ['true', 'incremental'] as const) {
    for (const row of rows) {
      const place = { lsn: 7n, lastCommit: null, txId: 1, at: 1_700_000_000_000_000n, snapshot };
      const change = changeOf(toReadChange(row, table, place, 'wal:test'));
      expect(comparable(change)).toEqual(comparable(asMessage(change)));
    }
  }
});
