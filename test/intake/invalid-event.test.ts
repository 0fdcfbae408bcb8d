import { expect, test } from 'vitest';
import { readChange } from '../../src/intake/debezium/read-change.ts';
import { flattened, insert, kafkaEvent, source } from './messages.ts';

type Case = [what: string, value: unknown, detail: string];

const incomplete: Case[] = [
  ['an unknown op', { ...insert, op: 'x' }, 'op is "x": c, u, d, r, t or m is expected'],
  ['op null', { ...insert, op: null }, 'op is null: c, u, d, r, t or m is expected'],
  [
    'no op',
    { before: null, after: {}, source },
    'op is missing: CloudEventsConverter needs extension.attributes.enable=true',
  ],
  ['no source', { ...insert, source: undefined }, 'source.schema is missing: a name is expected'],
  ['source a text', { ...insert, source: 'shop' }, 'source.schema is missing: a name is expected'],
  ['no schema', of({ schema: null }), 'source.schema is null: a name is expected'],
  ['no table', of({ table: undefined }), 'source.table is missing: a name is expected'],
  ['an empty table', of({ table: '' }), 'source.table is "": a name is expected'],
  ['a number for a table', of({ table: 7 }), 'source.table is 7: a name is expected'],
  ['NUL in its table', of({ table: 'a\0' }), 'source.table is "a\\u0000": a name is expected'],
  [
    'a name longer than any topic',
    of({ name: 'n'.repeat(250) }),
    `source.name is "${'n'.repeat(60)}": a name is expected`,
  ],
  [
    'no time',
    of({ ts_ms: undefined }),
    'source.ts_ms is missing: milliseconds since 1970 are expected',
  ],
  [
    'a time in microseconds',
    of({ ts_ms: 1767323045000000 }),
    'source.ts_ms is 1767323045000000: milliseconds since 1970 are expected',
  ],
  [
    'a time before 1970',
    of({ ts_ms: -1 }),
    'source.ts_ms is -1: milliseconds since 1970 are expected',
  ],
  ['no LSN', of({ lsn: null }), 'source.lsn is null: a position in the log is expected'],
  [
    'no LSN on a truncate',
    { ...of({ lsn: undefined }), op: 't' },
    'source.lsn is missing: a position in the log is expected',
  ],
  [
    'an LSN as Postgres writes it',
    of({ lsn: '0/16B3748' }),
    'source.lsn is "0/16B3748": a position in the log is expected',
  ],
  [
    'an LSN with a fraction',
    of({ lsn: 1.5 }),
    'source.lsn is 1.5: a position in the log is expected',
  ],
  [
    'an object for an LSN',
    of({ lsn: {} }),
    'source.lsn is an object: a position in the log is expected',
  ],
  [
    'an unknown marker of a snapshot',
    { ...of({ snapshot: 'maybe' }), op: 'r' },
    'source.snapshot is "maybe": a snapshot marker of Debezium is expected',
  ],
  ['before and after null', { ...insert, after: null }, 'after is null, not a row'],
  ['a delete without before', { ...insert, op: 'd' }, 'before is null, not a row'],
  ['after an array', { ...insert, after: [1] }, 'after is an array, not a row'],
  ['after a text', { ...insert, after: 'secret' }, 'after is a string, not a row'],
  [
    'a flattened row without added fields',
    { id: 42, __deleted: 'false' },
    '__op is missing: ExtractNewRecordState needs add.fields=op,table,lsn,schema,name,connector,snapshot,source.ts_ms, for MySQL and MariaDB op,table,db,file,pos,row,name,connector,snapshot,source.ts_ms',
  ],
  [
    'a flattened row without its time of commit',
    { ...flattened, __source_ts_ms: undefined, __ts_ms: 1767323045123 },
    '__source_ts_ms is missing: milliseconds since 1970 are expected',
  ],
  [
    'a flattened row without LSN',
    { ...flattened, __lsn: undefined },
    '__lsn is missing: a position in the log is expected',
  ],
];

const absurd: Case[] = [
  ['LSN 0', of({ lsn: 0 }), 'source.lsn is 0, absurd: no log has that position'],
  ['a negative LSN', of({ lsn: -5 }), 'source.lsn is -5, absurd: no log has that position'],
  [
    'LSN 2^55',
    of({ lsn: '36028797018963968' }),
    'source.lsn is 36028797018963968, absurd: no log has that position',
  ],
];

const badValues: Case[] = [
  ['NUL', row({ id: 'a\0b' }), 'column "id" holds U+0000'],
  ['NUL deep in a column', row({ list: [{ a: '\0' }] }), 'column "list" holds U+0000'],
  ['NUL in a column and its name', row({ 'a\0': '\0' }), 'column "a\\u0000" holds U+0000'],
  ['half a surrogate pair', row({ id: '\ud800' }), 'column "id" holds half a surrogate pair'],
  ['a column 65 deep', row({ deep: nested(65) }), 'column "deep" nests deeper than 64 levels'],
  [
    'a column 200,000 deep',
    placed(brackets(200_000)),
    'column "state" nests deeper than 64 levels',
  ],
];

const nothing =
  'neither an envelope (op, source, before, after) nor a flattened row (__op, __table, __lsn or __file)';
const notChanges: Case[] = [
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'the body is not text in UTF-8'],
  ['no JSON', 'hello', 'the body is not JSON'],
  ['JSON cut short', '{"before":null,', 'the body is not JSON at position 15'],
  ['a space', ' ', 'the body is not JSON'],
  ['an array', [1], 'the body is an array, not an object'],
  ['a text', '"insert"', 'the body is a string, not an object'],
  ['a number', '42', 'the body is a scalar, not an object'],
  ['an empty object', {}, nothing],
  ['a row alone', { id: 42, state: 'PLACED' }, nothing],
  [
    '200,000 levels beside an integer beyond 2^53',
    placed(`9007199254740993}, "more": {"a": ${brackets(200_000)}`),
    'the body is nested too deep',
  ],
  [
    'another CloudEvent',
    { specversion: '1.0', id: '1', source: '/s', type: 'com.example.order' },
    'the body is a CloudEvent of type "com.example.order"',
  ],
  [
    'a CloudEvent of Debezium in Avro',
    { specversion: '1.0', type: 'io.debezium.x', data_base64: 'AA==' },
    'data_base64 of the CloudEvent in the body is not JSON',
  ],
  [
    'a CloudEvent of Debezium with a text',
    { specversion: '1.0', type: 'io.debezium.x', data: 'x' },
    'the body is a string, not an object',
  ],
];

test.for(incomplete)('a change with %s is incomplete', ([, value, detail]) => {
  const reading = { kind: 'invalid', reason: 'incomplete-change', detail };
  expect(readChange(kafkaEvent(value))).toEqual(reading);
});

test.for(absurd)('a change with %s has a position that no log has', ([, value, detail]) => {
  const reading = { kind: 'invalid', reason: 'position-ahead', detail };
  expect(readChange(kafkaEvent(value))).toEqual(reading);
});

test.for(badValues)('a row with %s can’t be stored', ([, value, detail]) => {
  const reading = { kind: 'invalid', reason: 'bad-value', detail };
  expect(readChange(kafkaEvent(value))).toEqual(reading);
});

test.for(notChanges)('%s is not a change', ([, value, detail]) => {
  const reading = { kind: 'invalid', reason: 'not-a-change', detail };
  expect(readChange(kafkaEvent(value))).toEqual(reading);
});

/** The insert with other metadata. */
function of(metadata: object): object {
  return { ...insert, source: { ...source, ...metadata } };
}

/** The insert of another row. */
function row(after: object): object {
  return { ...insert, after };
}

/** The insert's text with this in place of its state. */
function placed(text: string): string {
  return JSON.stringify(insert).replace('"PLACED"', text);
}

function nested(depth: number): unknown {
  return depth === 0 ? 'x' : [nested(depth - 1)];
}

function brackets(depth: number): string {
  return '['.repeat(depth) + ']'.repeat(depth);
}
