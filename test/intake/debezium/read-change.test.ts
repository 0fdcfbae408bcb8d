import { expect, test } from 'vitest';
import { readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { type CloudEvent } from '../../../src/intake/cloudevents/incoming.ts';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { debeziumMessages, type DebeziumMessage } from '../fixtures.ts';
import { flattened, insert, kafkaEvent, source } from '../messages.ts';

test('there are 151 messages of a real Debezium to read', () => {
  expect(debeziumMessages).toHaveLength(151);
});

test.for(debeziumMessages)('$name is read correctly', (message) => {
  const event = kafkaEvent(message.body);
  expect(readChange(event)).toEqual(expected(message, event));
});

test.for(
  debeziumMessages.filter(
    ({ folder, value }) => folder.startsWith('cloudevents') && value !== null,
  ),
)('$name is read the same as a structured CloudEvent', (message) => {
  const incoming = readCloudEvents(
    { 'content-type': 'application/cloudevents+json' },
    message.body,
  );
  if (incoming.kind !== 'event') throw new Error(JSON.stringify(incoming));
  expect(readChange(incoming.event)).toEqual(expected(message, incoming.event));
});

test.for(
  debeziumMessages.filter(({ folder, value }) => folder === 'cloudevents' && value !== null),
)('$name is read the same in binary mode, with its metadata in headers', (message) => {
  const { data, ...attributes } = message.value;
  const headers = Object.entries<string>(attributes)
    .filter(([name, value]) => value !== null && name !== 'iodebeziumtxId')
    .map(([name, value]) => [`ce-${name}`, value] as const);
  const incoming = readCloudEvents(Object.fromEntries(headers), Buffer.from(JSON.stringify(data)));
  if (incoming.kind !== 'event') throw new Error(JSON.stringify(incoming));
  expect(readChange(incoming.event)).toEqual(expected(message, incoming.event));
});

test('an LSN may be text', () => {
  const event = kafkaEvent({ ...insert, source: { ...source, lsn: '24023128' } });
  expect(readChange(event)).toMatchObject({ kind: 'row', lsn: 24023128n });
});

test('an LSN beyond 2^53 stays exact', () => {
  const text = JSON.stringify(insert).replace(String(source.lsn), '9007199254740993');
  expect(readChange(kafkaEvent(text))).toMatchObject({ kind: 'row', lsn: 9007199254740993n });
});

test('a flattened row is read by its added fields', () => {
  const event = kafkaEvent(flattened);
  expect(readChange(event)).toEqual({
    kind: 'row',
    op: 'u',
    source: 'shop',
    stream: 'public.orders',
    lsn: BigInt(source.lsn),
    at: 1767323045000,
    handledAt: null,
    lastCommit: null,
    snapshot: null,
    row: flattened,
    origin: event,
  });
});

test('a flattened delete, rewritten, is read with its row', () => {
  const gone = { ...flattened, __op: 'd', __deleted: 'true' };
  expect(readChange(kafkaEvent(gone))).toMatchObject({ kind: 'row', op: 'd', row: gone });
});

test.for([
  ['true', source.lsn, 'initial'],
  ['first', source.lsn, 'initial'],
  ['last', source.lsn, 'initial'],
  ['first_in_data_collection', source.lsn, 'initial'],
  ['last_in_data_collection', source.lsn, 'initial'],
  [true, source.lsn, 'initial'],
  ['incremental', null, 'incremental'],
  ['false', source.lsn, 'initial'],
  [null, source.lsn, 'initial'],
  [undefined, source.lsn, 'initial'],
  [false, null, 'incremental'],
  [undefined, null, 'incremental'],
] as const)('a read marked %s with LSN %s belongs to the %s snapshot', ([snapshot, lsn, which]) => {
  const read = { ...insert, op: 'r', source: { ...source, snapshot, lsn } };
  expect(readChange(kafkaEvent(read))).toMatchObject({ kind: 'row', snapshot: which });
});

test('a marker of a snapshot on a streamed change changes nothing', () => {
  const event = kafkaEvent({ ...insert, source: { ...source, snapshot: 'last' } });
  expect(readChange(event)).toMatchObject({ op: 'c', snapshot: null });
});

test.for([
  ['an empty body', '', 'tombstone'],
  ['null', 'null', 'tombstone'],
  ['null with its schema', '{"schema":null,"payload":null}', 'tombstone'],
  ['a heartbeat', '{"ts_ms":1795251013626,"ts_us":1795251013626000}', 'heartbeat'],
] as const)('%s changes nothing', ([, body, why]) => {
  expect(readChange(kafkaEvent(body))).toEqual({ kind: 'ignored', why });
});

/** By what the file's name says, and by searching the text. */
function expected(
  { folder, step, kind, value, body }: DebeziumMessage,
  event: CloudEvent,
): unknown {
  if (value === null) return { kind: 'ignored', why: 'tombstone' };
  if (kind === 'heartbeat') return { kind: 'ignored', why: 'heartbeat' };
  if (kind.startsWith('transaction')) return { kind: 'ignored', why: 'transaction' };
  if (kind === 'm') return { kind: 'ignored', why: 'message' };
  if (folder === 'cloudevents-no-extensions') {
    const detail = 'op is missing: CloudEventsConverter needs extension.attributes.enable=true';
    return { kind: 'invalid', reason: 'incomplete-change', detail };
  }
  const text = body.toString();
  const position = /"(?:lsn|iodebeziumlsn)":"?(\d+)/.exec(text)?.[1];
  const time = /"(?:snapshot|iodebeziumsnapshot)":/.exec(text)!.index;
  const at = Number(/"(?:ts_ms|iodebeziumtsms)":"?(\d+)"?,$/.exec(text.slice(0, time))![1]);
  const handled = /"op":"\w","ts_ms":(\d+)/.exec(text)?.[1];
  const lastCommit = /"(?:sequence|iodebeziumsequence)":"\[\\"(\d+)/.exec(text)?.[1];
  // where the connector was when it emitted an incremental read
  const emitted = /"sequence":"\[\\"\d+\\",\\"(\d+)/.exec(text)?.[1];
  const common = {
    source: 'postgres',
    at,
    handledAt: handled === undefined ? null : Number(handled),
    lastCommit: lastCommit === undefined ? null : BigInt(lastCommit),
    origin: event,
  };
  const table = 'datastore.signal';
  if (kind === 't') return { kind: 'truncate', ...common, table, lsn: BigInt(position!) };
  const snapshot = step === 'incremental-snapshot' ? 'incremental' : 'initial';
  return {
    kind: 'row',
    op: kind,
    ...common,
    stream: table,
    lsn: BigInt(position ?? emitted!),
    snapshot: kind === 'r' ? snapshot : null,
    row: imageOf(value, kind),
  };
}

/** The row in a value, whatever is around it. */
function imageOf(value: any, kind: string): unknown {
  let data = value;
  for (const inner of ['payload', 'data', 'payload']) {
    if (inner in data && !('sensor_type' in data)) data = data[inner];
  }
  const image = 'after' in data ? data[kind === 'd' ? 'before' : 'after'] : data;
  const placeholders = ['__debezium_unavailable_value', 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=='];
  return placeholders.includes(image.data) ? { ...image, data: UNAVAILABLE } : image;
}
