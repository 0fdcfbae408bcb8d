import type { Mutant } from './mutants.ts';

const ATTRIBUTES = 'src/intake/cloudevents/attributes.ts';
const BATCH = 'src/intake/cloudevents/batch.ts';
const READ = 'src/intake/debezium/read-change.ts';
const PARKING = 'src/state/ingest/parking-queue.ts';

/** Guards of reading a message before it is ingested. */
export const INTAKE_MUTANTS: readonly Mutant[] = [
  {
    name: 'base64 is decoded leniently',
    file: 'src/intake/cloudevents/base64.ts',
    find: "return bytes.toString('base64') === text ? bytes : null;",
    replace: 'return bytes;',
    tests: ['test/intake/cloudevents/structured.test.ts'],
  },
  {
    name: 'changes of any database are read',
    file: 'src/intake/debezium/databases.ts',
    find: 'if (supported !== undefined) return supported.log;',
    replace: "return supported?.log ?? 'wal';",
    tests: ['test/intake/debezium/sources.test.ts'],
  },
  {
    name: 'a read without a position may be of any database',
    file: 'src/intake/debezium/log-position.ts',
    find: 'if (raw.connector == null) {',
    replace: 'if (false) {',
    tests: ['test/intake/debezium/sources.test.ts'],
  },
  {
    name: 'an invalid event of a KafkaSource is permanently refused',
    file: ATTRIBUTES,
    find: 'return offset !== undefined || (',
    replace: 'return (',
    tests: ['test/intake/http/limits.test.ts'],
  },
  {
    name: 'an invalid event that claims to be a change is permanently refused',
    file: ATTRIBUTES,
    find: 'return offset !== undefined || (',
    replace: 'return offset !== undefined && (',
    tests: ['test/intake/cloudevents/structured.test.ts'],
  },
  {
    name: 'every month has 31 days',
    file: ATTRIBUTES,
    find: 'return Number(day) <= 28 || ',
    replace: 'return true || ',
    tests: ['test/intake/cloudevents/cloudevent.test.ts'],
  },
  {
    name: 'a duplicated ce-type counts as a different type',
    file: 'src/intake/cloudevents/cloudevent.ts',
    find: 'problemWith(attributes) ?? repeated(',
    replace: 'problemWith(attributes) ?? (() => null)(',
    tests: ['test/intake/cloudevents/cloudevent.test.ts'],
  },
  {
    name: 'the number of elements in a batch is not limited',
    file: BATCH,
    find: 'const isTooLong = texts.length > MAX_ELEMENTS;',
    replace: 'const isTooLong = false;',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'the number of bad elements in a batch is not limited',
    file: BATCH,
    find: '  if (bad > MAX_BAD_ELEMENTS) {',
    replace: '  if (false) {',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'a batch is parsed in one turn of the event loop',
    file: BATCH,
    find: '    await turn();\n',
    replace: '    void turn;\n',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'the content of a large body is not checked before it is parsed',
    file: 'src/lib/exact-json.ts',
    find: 'if (text.length > LARGE) requireModest(text);',
    replace: 'void [LARGE, requireModest];',
    tests: ['test/intake/cloudevents/structured.test.ts'],
  },
  {
    name: 'a quote in a string ends it',
    file: 'src/lib/exact-json.ts',
    find: 'if (slashes % 2 === 0) return end;',
    replace: 'return end;',
    tests: ['test/intake/debezium/row.test.ts'],
  },
  {
    name: 'the decompressed size of a body is not limited',
    file: 'src/intake/http/encoding.ts',
    find: '{ maxOutputLength: limit }',
    replace: '{ maxOutputLength: 2 ** 30 }',
    tests: ['test/intake/http/encoding.test.ts'],
  },
  {
    name: 'column names take precedence over __op',
    file: 'src/intake/debezium/message-forms.ts',
    find: 'if (ADDED.some((field) => field in body)) return',
    replace: "if (!('op' in body) && '__op' in body) return",
    tests: ['test/intake/debezium/flattened.test.ts'],
  },
  {
    name: 'a row can be mistaken for the end of a transaction',
    file: READ,
    find: 'isObject(body) && !isRow(body, attributes) ? recordKind',
    replace: 'isObject(body) ? recordKind',
    tests: ['test/intake/debezium/flattened.test.ts'],
  },
  {
    name: 'parked events share no statement',
    file: PARKING,
    find: '(n === MAX_EVENTS || bytes > MAX_BYTES)',
    replace: '(n > 0 || n === MAX_EVENTS || bytes > MAX_BYTES)',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'a statement parks one event twice',
    file: PARKING,
    find: "const digest = parking.digest.toString('latin1');",
    replace: 'const digest = String(distinct.size);',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'an event that can’t be parked delays those in the same batch',
    file: PARKING,
    find: 'if (items.length > 1 && isBadValue(error))',
    replace: 'if (items.length > 9 && isBadValue(error))',
    tests: ['test/intake/cloudevents/batch.test.ts'],
  },
  {
    name: 'a change is explained from its own values, not from the stored row',
    file: 'src/state/ingest/explain-change.ts',
    find: 'if (rows.length === 0) return mapped;',
    replace: 'return mapped;',
    tests: ['test/intake/http/explained.test.ts'],
  },
  {
    name: 'the doctor mistakes tombstones for deletes',
    file: 'src/doctor/cluster/connectors.ts',
    find: "if (!deletes.startsWith('rewrite')) {",
    replace: "if (deletes === 'drop') {",
    tests: ['test/doctor/cluster.test.ts'],
  },
  {
    name: 'the number of content codings is not limited',
    file: 'src/intake/http/encoding.ts',
    find: 'if (codings.length > MAX_CODINGS) {',
    replace: 'if (false) {',
    tests: ['test/intake/http/encoding.test.ts'],
  },
];
