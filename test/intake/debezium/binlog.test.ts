import { expect, test } from 'vitest';
import { readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { mysqlMessages, type DebeziumMessage } from '../fixtures.ts';
import { kafkaEvent } from '../messages.ts';

const FILE = 2n ** 32n;

const source = {
  connector: 'mysql',
  name: 'shop',
  db: 'shop',
  table: 'orders',
  ts_ms: 1767323045000,
  snapshot: 'false',
  server_id: 1,
  gtid: null,
  file: 'mysql-bin.000003',
  pos: 1451,
  row: 2,
};
const insert = { before: null, after: { id: 1 }, source, op: 'c', ts_ms: 1767323045123 };
const read = (more: object, rest: object = {}) =>
  readChange(kafkaEvent({ ...insert, ...rest, source: { ...source, ...more } }));

test.for(mysqlMessages)('$name is read correctly', (message) => {
  const event = kafkaEvent(message.body);
  expect(readChange(event)).toMatchObject(expected(message));
});

test('a CloudEvent in structured mode is read like the record', () => {
  const events = mysqlMessages.filter(
    ({ folder, value }) => folder === 'mysql-cloudevents' && value !== null,
  );
  expect(events.length).toBeGreaterThan(15);
  for (const message of events) {
    const headers = { 'content-type': 'application/cloudevents+json' };
    const incoming = readCloudEvents(headers, message.body);
    expect(incoming.kind === 'event' && readChange(incoming.event)).toMatchObject(
      expected(message),
    );
  }
});

test('the order of positions is that in which the connector read the binlog', () => {
  for (const form of ['mysql-json', 'mysql-cloudevents', 'mysql-flattened']) {
    const places = mysqlMessages
      .filter(({ folder }) => folder === form)
      .map((message) => ({ message, reading: readChange(kafkaEvent(message.body)) }))
      .flatMap(({ message, reading }) =>
        reading.kind === 'row' && reading.op !== 'r' ? { message, lsn: reading.lsn! } : [],
      );
    expect(places.length).toBeGreaterThan(12);
    const wrong = places.slice(1).filter(({ message, lsn }, i) => {
      // the delete and the insert of a changed primary key are one row of one event
      const isKeyChange = message.kind === 'c' && /primary-key/.test(message.step);
      const before = places[i]!.lsn;
      return isKeyChange ? lsn !== before : lsn <= before;
    });
    expect(wrong.map(({ message }) => message.name)).toEqual([]);
  }
});

test.for(['mysql', 'mariadb', undefined])(
  'a change of connector %s has the file, the position and the row as its position',
  (connector) => {
    expect(read({ connector })).toMatchObject({
      kind: 'row',
      source: 'shop',
      stream: 'shop.orders',
      lsn: 3n * FILE + 1453n,
      log: 'binlog',
      lastCommit: null,
      snapshot: null,
    });
  },
);

const UUID = '24bc7850-2c16-11e6-a073-0242ac110002';

test.for([
  ['0-1-15', { domain: '0', server: '1', number: 15n }],
  [
    '4294967295-2-18446744073709551615',
    { domain: '4294967295', server: '2', number: 2n ** 64n - 1n },
  ],
  [`${UUID}:77`, { domain: UUID, server: UUID, number: 77n }],
  [`${UUID.toUpperCase()}:77`, { domain: UUID, server: UUID, number: 77n }],
  [`${UUID}:nightly:3`, { domain: `${UUID}:nightly`, server: UUID, number: 3n }],
  [null, undefined],
  ['', undefined],
  [`${UUID}:1-77`, undefined],
  ['0-1-15,1-1-3', undefined],
  [15, undefined],
] as const)('the GTID %s is read', ([gtid, expectedGtid]) => {
  const forms = [
    read({ gtid }),
    read({ gtid }, { op: 't' }),
    readChange(
      kafkaEvent({
        id: 1,
        __op: 'u',
        __db: 'shop',
        __table: 'orders',
        __name: 'shop',
        __connector: 'mysql',
        __file: source.file,
        __pos: 1451,
        __row: 0,
        __source_ts_ms: source.ts_ms,
        __gtid: gtid,
      }),
    ),
  ];
  expect(forms.map((change) => ('gtid' in change ? change.gtid : undefined))).toEqual([
    expectedGtid,
    expectedGtid,
    expectedGtid,
  ]);
});

test('a read of a snapshot, and a change of PostgreSQL, have none', () => {
  expect(read({ gtid: '0-1-15', snapshot: 'true' }, { op: 'r' })).not.toHaveProperty('gtid');
  const wal = { connector: 'postgresql', schema: 'shop', lsn: 15, gtid: '0-1-15' };
  expect(read(wal)).toMatchObject({ kind: 'row', lsn: 15n });
  expect(read(wal)).not.toHaveProperty('gtid');
});

test('a later file is later, whatever the positions', () => {
  const { lsn } = read({ file: 'other.000004', pos: 4, row: 0 }) as { lsn: bigint };
  expect(lsn).toBe(4n * FILE + 4n);
  expect(read({ pos: 2 ** 32 - 1, row: 0 })).toMatchObject({ lsn: 4n * FILE - 1n });
});

test.for([
  ['r', 'true', 'initial'],
  ['r', 'last', 'initial'],
  ['r', 'incremental', 'incremental'],
  ['t', 'false', undefined],
] as const)('op %s, snapshot %s: the row of an earlier event is ignored', ([op, marker, kind]) => {
  const change = read({ snapshot: marker }, { op });
  expect(change).toMatchObject({ lsn: 3n * FILE + 1451n, log: 'binlog' });
  expect('snapshot' in change ? change.snapshot : undefined).toBe(kind);
});

test.for([
  [{ db: null }, 'source.db is null: a name is expected'],
  [{ file: undefined }, 'source.file is missing: the name of a binlog file that ends with its'],
  [{ file: 'binlog-000000.ibb' }, 'source.file is "binlog-000000.ibb": the name of a binlog'],
  [{ pos: undefined }, 'source.pos is missing: a position in the binlog is expected'],
  [{ pos: 1.5 }, 'source.pos is 1.5: a position in the binlog is expected'],
  [{ row: undefined }, 'source.row is missing: the number of a row is expected'],
] as const)('a change with %j is parked as incomplete', ([more, detail]) => {
  expect(read(more)).toMatchObject({
    kind: 'invalid',
    reason: 'incomplete-change',
    detail: expect.stringContaining(detail),
  });
});

test.for([
  { file: 'mysql-bin.8388608' },
  { file: 'mysql-bin.000000' },
  { pos: 0 },
  { pos: 2 ** 32 - 2 },
  { pos: -4 },
  { row: -1 },
])('a position that no binlog has is parked: %j', (more) => {
  expect(read(more)).toMatchObject({
    kind: 'invalid',
    reason: 'position-ahead',
    detail: expect.stringMatching(/^source.file is .*, source.pos -?\d+ and source.row .*, absurd/),
  });
});

test('a schema change is parked as what it is', () => {
  const message = { source, ts_ms: 1, databaseName: 'shop', ddl: 'drop table x', tableChanges: [] };
  expect(readChange(kafkaEvent(message))).toMatchObject({
    reason: 'not-a-change',
    detail: expect.stringMatching(/^a schema change, which the connector writes to the topic/),
  });
});

/** By what the file's name says, and by the text of the message. */
function expected({ step, kind, value, body, folder }: DebeziumMessage): object {
  if (value === null) return { kind: 'ignored', why: 'tombstone' };
  const text = body.toString();
  const field = (name: string) =>
    new RegExp(`"(?:iodebezium|__)?${name}":"?([\\w.-]+)`).exec(text)![1]!;
  const row = kind === 'r' || kind === 't' ? 0n : BigInt(field('row'));
  const file = BigInt(field('file').split('.')[1]!);
  const common = {
    source: folder.replace('-', '_'),
    [kind === 't' ? 'table' : 'stream']: 'shop.orders',
    lsn: file * FILE + BigInt(field('pos')) + row,
    log: 'binlog',
    lastCommit: null,
  };
  if (kind === 't') return { kind: 'truncate', ...common };
  const data = value.data ?? value;
  const image = 'after' in data ? data[kind === 'd' ? 'before' : 'after'] : data;
  const snapshot = step === 'incremental-snapshot' ? 'incremental' : 'initial';
  return {
    kind: 'row',
    op: kind,
    ...common,
    snapshot: kind === 'r' ? snapshot : null,
    row: { id: image.id, state: image.state },
  };
}
