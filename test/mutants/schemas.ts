import type { Mutant } from './mutants.ts';

const AVRO_TEST = ['test/schemas/avro.test.ts'];
const PROTOBUF_TEST = ['test/schemas/protobuf.test.ts'];
const SCHEMAS_TEST = ['test/schemas/schemas.test.ts'];
const FRAMED_TEST = ['test/intake/framed.test.ts'];
const READER = 'src/schemas/byte-reader.ts';
const VALUES = 'src/schemas/json-values.ts';
const PROTOBUF = 'src/schemas/protobuf.ts';
const REGISTRY = 'src/schemas/registry.ts';
const SCHEMAS = 'src/schemas/schemas.ts';

/** Guards of decoding changes by the schemas of a registry. */
export const SCHEMA_MUTANTS: readonly Mutant[] = [
  {
    name: 'a schema that refers to a missing one is never asked for again',
    file: 'src/schemas/schemas.ts',
    find: "    if ('why' in entry) {\n",
    replace: '    if (this.#entries.size < 0) {\n',
    tests: ['test/schemas/schemas.test.ts'],
  },
  {
    name: 'an integer of Avro beyond 2^53 is rounded',
    file: VALUES,
    find: 'return Number.isSafeInteger(number) ? number : JSON.rawJSON(String(value));',
    replace: 'return number;',
    tests: AVRO_TEST,
  },
  {
    name: 'a 32-bit float is written with the digits of a double',
    file: VALUES,
    find: 'if (Math.fround(rounded) === value) return rounded;',
    replace: '',
    tests: AVRO_TEST,
  },
  {
    name: 'bytes after the value are ignored',
    file: READER,
    find: 'if (this.remaining > 0) throw',
    replace: 'if (false) throw',
    tests: AVRO_TEST,
  },
  {
    name: 'a value is read beyond the end of its message',
    file: READER,
    find: 'if (length > this.remaining) {',
    replace: 'if (false) {',
    tests: AVRO_TEST,
  },
  {
    name: 'the announced number of elements is believed',
    file: READER,
    find: 'if (this.#budget.elements < 0) {',
    replace: 'if (count > MAX_ELEMENTS) {',
    tests: AVRO_TEST,
  },
  {
    name: 'messages with many fields fill the memory',
    file: READER,
    find: 'if (this.#budget.fields < 0) throw',
    replace: 'if (false) throw',
    tests: ['test/schemas/protobuf.test.ts'],
  },
  {
    name: 'a part of the bytes has elements of its own',
    file: READER,
    find: 'new ByteReader(this.take(length), this.#budget)',
    replace: 'new ByteReader(this.take(length))',
    tests: ['test/schemas/protobuf.test.ts'],
  },
  {
    name: 'an id that no registry can read is asked for again and again',
    file: SCHEMAS,
    find: 'if (id > MAX_ID) throw',
    replace: 'if (false) throw',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'a negative size is believed',
    file: READER,
    find: 'if (value < 0n || ',
    replace: 'if (',
    tests: AVRO_TEST,
  },
  {
    name: 'a byte order mark inside a text is dropped',
    file: READER,
    find: ', ignoreBOM: true',
    replace: '',
    tests: AVRO_TEST,
  },
  {
    name: 'a null of Protobuf may look like 0',
    file: PROTOBUF,
    find: '    if (isEnvelope(type)) requireNulls(type);\n',
    replace: '',
    tests: PROTOBUF_TEST,
  },
  {
    name: 'a field of another type of Protobuf is read',
    file: PROTOBUF,
    find: 'if (wire !== codec.wire) throw',
    replace: 'if (false) throw',
    tests: PROTOBUF_TEST,
  },
  {
    name: 'a 404 of any server means that a schema does not exist',
    file: REGISTRY,
    find: 'answer.status === 404 && MISSING.includes(codeOf(answer.text))',
    replace: 'answer.status === 404',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'a request to the registry may last forever',
    file: REGISTRY,
    find: '      signal: AbortSignal.timeout(this.#timeoutMs),\n',
    replace: '',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'every event requests its schema',
    file: SCHEMAS,
    find: '      this.#fetching.set(id, fetching);\n',
    replace: '',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'an unavailable registry is asked by every event',
    file: SCHEMAS,
    find: 'performance.now() - this.#failedAt < (',
    replace: 'performance.now() < (',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'schemas are kept without a limit',
    file: SCHEMAS,
    find: 'if (this.#entries.size > (',
    replace: 'if (this.#entries.size > 1e9 * (',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'an unknown id stays unknown',
    file: SCHEMAS,
    find: 'setTimeout(() => this.#entries.delete(id),',
    replace: 'setTimeout(() => {},',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'a message that is nested too deep is retried forever',
    file: SCHEMAS,
    find: "error instanceof RangeError ? 'nested too deep' : errorOf(error)",
    replace: 'errorOf(error)',
    tests: SCHEMAS_TEST,
  },
  {
    name: 'an event is parked while the registry does not answer',
    file: 'src/intake/debezium/decode-framed.ts',
    find: 'if (error instanceof RegistryUnavailable) {',
    replace: 'if (false) {',
    tests: FRAMED_TEST,
  },
  {
    name: 'an event of another type is decoded',
    file: 'src/intake/debezium/decode-framed.ts',
    find: ' && isChangeType(type)',
    replace: '',
    tests: FRAMED_TEST,
  },
  {
    name: 'UTF-16 is taken for the id of a schema',
    file: 'src/schemas/frame.ts',
    find: 'return !(JSON_STARTS.has(second) && third === 0);',
    replace: 'return true;',
    tests: ['test/intake/diagnosis.test.ts'],
  },
  {
    name: 'an id of eight bytes is taken for one of four',
    file: 'src/schemas/frame.ts',
    find: 'return id === 0 ? null : {',
    replace: 'return {',
    tests: SCHEMAS_TEST,
  },
];
