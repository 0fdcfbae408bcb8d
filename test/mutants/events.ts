import type { Mutant } from './mutants.ts';

const ROWS = 'src/state/ingest/event-rows.ts';
const VALUES = 'src/state/ingest/event-values.ts';
const VERSION = 'src/state/ingest/event-version.ts';
const CHECK = 'src/definitions/check-parts.ts';
const CHANGE = 'src/intake/cloudevents/event-change.ts';
const IGNORED = 'src/state/ingest/ignored-streams.ts';
const STATE = ['test/state/ingest/events.test.ts'];
const INTAKE = ['test/intake/events.test.ts'];
const DEFINITIONS = ['test/definitions/message-parts.test.ts'];

/** Guards of events and records that are parts by themselves. */
export const EVENT_MUTANTS: readonly Mutant[] = [
  {
    name: 'a dead letter is another record than before',
    file: CHANGE,
    find: "ofIdOffset ?? attributes['knativekafkaoffset']",
    replace: "attributes['knativekafkaoffset'] ?? ofIdOffset",
    tests: INTAKE,
  },
  {
    name: 'the id of an event is decoded',
    file: 'src/intake/cloudevents/cloudevent.ts',
    find: "'dataschema', 'id']",
    replace: "'dataschema']",
    tests: INTAKE,
  },
  {
    name: 'an event without rows is answered by an older definition',
    file: 'src/state/ingest/change-ingestor.ts',
    find: 'if (rows.length === 0 && problems.length === 0) await',
    replace: 'if (false) await',
    tests: STATE,
  },
  {
    name: 'an event with versions is a create, so a part that rejects it keeps no row',
    file: ROWS,
    find: "version === null ? 'c' : 'u'",
    replace: "'c'",
    tests: STATE,
  },
  {
    name: 'an absent key counts as null',
    file: ROWS,
    find: 'const needed = takesBack ? identity : [...identity, ...part.key];',
    replace: 'const needed = identity;',
    tests: STATE,
  },
  {
    name: 'an event that no filter accepts needs a key, too',
    file: ROWS,
    find: 'if (!takesBack && isRefused(part, values)) {',
    replace: 'if (false) {',
    tests: STATE,
  },
  {
    name: 'an event with the version of the one that it takes back is no newer',
    file: VERSION,
    find: 'return 2n * version + (takesBack ? 1n : 0n);',
    replace: 'return 2n * version;',
    tests: STATE,
  },
  {
    name: 'a version may be longer than a position',
    file: VERSION,
    find: 'if (version === null || version >= LIMIT) return null;',
    replace: 'if (version === null) return null;',
    tests: STATE,
  },
  {
    name: 'times are compared by the millisecond',
    file: VERSION,
    find: 'return BigInt(ms + (isLeap ? 1_000 : 0)) * 1_000n + micros;',
    replace: 'return BigInt(ms + (isLeap ? 1_000 : 0)) * 1_000n;',
    tests: STATE,
  },
  {
    name: 'the events have epochs',
    file: VERSION,
    find: '  if (!names.includes(EVENTS)) return;\n',
    replace: '  return;\n',
    tests: STATE,
  },
  {
    name: 'a null may be an id',
    file: VALUES,
    find: 'return empty === undefined\n',
    replace: 'return true\n',
    tests: STATE,
  },
  {
    name: 'numbers of an event are rounded',
    file: VALUES,
    find: 'const flaw = flawOf(value, exact);',
    replace: 'const flaw = flawOf(value, true);',
    tests: STATE,
  },
  {
    name: 'a path finds what every object inherits',
    file: VALUES,
    find: 'if (!isObject(value) || !Object.hasOwn(value, step)) return undefined;',
    replace: 'if (!isObject(value)) return undefined;',
    tests: STATE,
  },
  {
    name: 'an attribute that a part names is cut when its event is parked',
    file: 'src/state/ingest/parking.ts',
    find: 'named.includes(name) ? MAX_NAMED : MAX_VALUE',
    replace: 'MAX_VALUE',
    tests: STATE,
  },
  {
    name: 'an older worker acknowledges an event of a type that it does not know',
    file: 'src/state/ingest/change-ingestor.ts',
    find: 'if (!this.#events.has(event.stream)) return this.#unwanted(event);',
    replace: "if (!this.#events.has(event.stream)) return { kind: 'unwanted' };",
    tests: STATE,
  },
  {
    name: 'a record of a named topic is read as a change of a table',
    file: CHANGE,
    find: 'if (name === null || !topics.has(name.topic)) return null;',
    replace: 'return null;',
    tests: INTAKE,
  },
  {
    name: 'data of any content type is parsed',
    file: CHANGE,
    find: 'contentType !== null && !isJsonType(contentType) && event.type !== KAFKA_EVENT',
    replace: 'false',
    tests: STATE,
  },
  {
    name: 'data_base64 that is none counts as absent',
    file: CHANGE,
    find: '  if (dataProblem !== undefined) return { problem: dataProblem };\n',
    replace: '',
    tests: INTAKE,
  },
  {
    name: 'attributes from a dispatcher, which does not encode, are decoded',
    file: 'src/intake/cloudevents/cloudevent.ts',
    find: "  if (attributes['knativekafkaoffset'] !== undefined) return null;\n",
    replace: '',
    tests: INTAKE,
  },
  {
    name: 'UTF-8 in a header is read as Latin-1',
    file: 'src/intake/cloudevents/cloudevent.ts',
    find: 'utf8Of(value) ?? value',
    replace: 'value',
    tests: INTAKE,
  },
  {
    name: 'an answer that an event is parked always has a body',
    file: 'src/intake/http/routes.ts',
    find: 'return asks ? reply.send({ parked: result.reason, detail: result.detail }) : reply.send();',
    replace: 'return reply.send({ parked: result.reason, detail: result.detail });',
    tests: INTAKE,
  },
  {
    name: 'every type of event is a label',
    file: 'src/process/name-counter.ts',
    find: 'this.#names.size < MAX_NAMES && ',
    replace: '',
    tests: INTAKE,
  },
  {
    name: 'a worker counts every ignored type in memory',
    file: IGNORED,
    find: '(this.#counts.size < MAX_COUNTED && isCounted(ignored))',
    replace: 'isCounted(ignored)',
    tests: ['test/state/ingest/ignored.test.ts'],
  },
  {
    name: 'every ignored type gets a row',
    file: 'src/state/sql/add-ignored.sql',
    find: 'where is_known or place <= room.names\n',
    replace: 'where true\n',
    tests: ['test/state/ingest/ignored.test.ts'],
  },
  {
    name: 'workers pass the bound of ignored types together',
    file: IGNORED,
    find: "        await client.query('select pg_advisory_xact_lock($1)', [LOCK]);\n",
    replace: '',
    tests: ['test/state/ingest/ignored.test.ts'],
  },
  {
    name: 'an ignored type that can not be stored is never written, nor is any other',
    file: IGNORED,
    find: 'name.length <= MAX_LENGTH && storable(name) !== null',
    replace: 'name.length <= MAX_LENGTH',
    tests: ['test/state/ingest/ignored.test.ts'],
  },
  {
    name: 'counts of ignored events that could not be written are lost',
    file: IGNORED,
    find: '      for (const each of counts) this.#add(each);\n',
    replace: '',
    tests: ['test/state/ingest/ignored.test.ts'],
  },
  {
    name: 'parts on one stream may identify its events in different ways',
    file: CHECK,
    find: 'if (first === undefined || identityOf(first) === identityOf(part)) continue;',
    replace: 'continue;',
    tests: DEFINITIONS,
  },
  {
    name: 'a part may name the type of every record',
    file: CHECK,
    find: "if (value === 'dev.knative.kafka.event') {",
    replace: 'if (false) {',
    tests: DEFINITIONS,
  },
  {
    name: 'an attribute may have a name that no event has',
    file: CHECK,
    find: 'if (/^[a-z\\d]+$/.test(each)) return [];',
    replace: 'return [];',
    tests: DEFINITIONS,
  },
  {
    name: 'an id needs no version',
    file: CHECK,
    find: 'if (id !== undefined && version === undefined) {',
    replace: 'if (false) {',
    tests: DEFINITIONS,
  },
];
