import { expect, test } from 'vitest';
import { ByteReader } from '../../src/schemas/byte-reader.ts';
import { compileProtobuf } from '../../src/schemas/protobuf.ts';
import type { Reference } from '../../src/schemas/proto-schema.ts';
import { field, long, varint } from './bytes.ts';

const FIRST = Buffer.of(0);

function read(
  schema: string,
  data: readonly Uint8Array[],
  indexes: Uint8Array = FIRST,
  references: readonly Reference[] = [],
): unknown {
  const from = new ByteReader(Buffer.concat([indexes, ...data]));
  return compileProtobuf(`syntax = "proto3"; ${schema}`, references)(from);
}

/** The form in which ProtobufConverter writes a change with `optional.for.nullables=true`. */
const ENVELOPE = `
  package shop;
  import "google/protobuf/wrappers.proto";
  import "confluent/type/decimal.proto";
  message Envelope {
    Value before = 1;
    Value after = 2;
    string op = 3;
    optional int64 ts_ms = 4;
    message Value {
      int64 id = 1;
      optional string state = 2;
      bytes data = 3;
      confluent.type.Decimal price = 4;
      repeated int32 sizes = 5;
      map<string, string> tags = 6;
      google.protobuf.Int64Value count = 7;
      double weight = 8;
      float height = 9;
      bool paid = 10;
      optional bool sent = 11;
    }
  }`;
const absent = {
  id: 0,
  state: null,
  data: '',
  price: null,
  sizes: [],
  tags: {},
  count: null,
  weight: 0,
  height: 0,
  paid: false,
  sent: null,
};

test('a change is read as JsonConverter writes it, with integers beyond 2^53', () => {
  const height = Buffer.concat([varint((9 << 3) | 5), Buffer.of(0xcd, 0xcc, 0xcc, 0x3d)]);
  const after = Buffer.concat([
    field(1, 2n ** 53n + 1n),
    field(2, ''),
    field(3, Buffer.of(0, 255)),
    field(4, Buffer.concat([field(1, Buffer.of(16, 104)), field(2, 10), field(3, 2)])),
    field(5, Buffer.concat([varint(1), varint(-1n)])),
    field(5, 7),
    field(6, Buffer.concat([field(1, 'a'), field(2, 'b')])),
    field(7, field(1, -5n)),
    height,
    field(11, 0),
    field(99, 'unknown'),
  ]);
  const value = read(ENVELOPE, [field(2, after), field(3, 'c')]);
  expect(JSON.stringify(value)).toBe(
    JSON.stringify({
      before: null,
      after: {
        ...absent,
        id: JSON.rawJSON('9007199254740993'),
        state: '',
        data: 'AP8=',
        price: 'EGg=',
        sizes: [1, -1, 7],
        tags: { a: 'b' },
        count: -5,
        height: 0.1,
        sent: false,
      },
      op: 'c',
      ts_ms: null,
    }),
  );
});

test('what is absent has the default of its type, and is null if it may be', () => {
  expect(read(ENVELOPE, [field(2, '')])).toMatchObject({ before: null, after: absent });
  expect(read(ENVELOPE, [field(2, field(7, ''))])).toMatchObject({ after: { count: 0 } });
});

test('the type of a message is found by its indexes', () => {
  const indexes = Buffer.concat([long(2), long(0), long(0)]);
  expect(read(ENVELOPE, [field(1, 5)], indexes)).toMatchObject({ id: 5 });
  expect(() => read(ENVELOPE, [], Buffer.concat([long(1), long(3)]))).toThrow('no message 3');
});

test('a type of a schema that another one imports is found', () => {
  const schema = 'import "v.proto"; message E { shop.Value after = 1; }';
  const v = 'syntax = "proto3"; package shop; message Value { optional int64 id = 1; }';
  const references = [{ name: 'v.proto', schema: v }];
  expect(read(schema, [field(1, field(1, 4))], FIRST, references)).toEqual({ after: { id: 4 } });
  expect(() => read(schema, [])).toThrow('it imports v.proto, which the registry does not name');
});

test('dates and times of Kafka Connect are numbers', () => {
  const schema = `
    import "google/type/date.proto"; import "google/type/timeofday.proto";
    import "google/protobuf/timestamp.proto";
    message E {
      google.type.Date day = 1; google.type.TimeOfDay time = 2;
      google.protobuf.Timestamp at = 3; optional int32 n = 4;
    }`;
  const day = Buffer.concat([field(1, 1970), field(2, 2), field(3, 1)]);
  const time = Buffer.concat([field(1, 1), field(3, 2), field(4, 5_000_000)]);
  const at = Buffer.concat([field(1, -1n), field(2, 5_000_000)]);
  expect(read(schema, [field(1, day), field(2, time), field(3, at)])).toEqual({
    day: 31,
    time: 3_602_005,
    at: -995,
    n: null,
  });
});

test('a schema in which nothing can be null is rejected, because a null would be a 0', () => {
  const schema =
    'message E { string op = 1; V after = 2; S source = 3; message V { int64 id = 1; } message S { int64 lsn = 1; } }';
  expect(() => read(schema, [field(1, 'c')])).toThrow(
    'a null looks like 0 or an empty text: set value.converter.optional.for.nullables=true',
  );
});

test('a message that is none of Debezium means its zeros', () => {
  const schema = 'syntax = "proto3"; message Order { string id = 1; int64 amount = 2; }';
  expect(read(schema, [field(1, 'a')])).toEqual({ id: 'a', amount: 0 });
});

test('a few bytes that stand for millions of fields are rejected', () => {
  const fields = Array.from({ length: 1_000 }, (_, i) => `optional int32 f${i} = ${i + 1};`);
  const schema = `message E { repeated V all = 1; message V { ${fields.join(' ')} } }`;
  const data = Buffer.concat(Array.from({ length: 3_000 }, () => field(1, Buffer.alloc(0))));
  expect(() => read(schema, [data])).toThrow('it has more than 2000000 fields');
});

test.for<[string, Uint8Array[], string]>([
  ['ends early', [Buffer.of(0x1a, 2, 0x63)], 'ends within a value'],
  ['has a field of another type', [field(3, 7)], 'the field op is of another type'],
  ['has an array of another type', [field(2, field(6, 7))], 'is of another type'],
  ['has an unknown wire type', [Buffer.of((12 << 3) | 7)], 'unknown wire type 7'],
])('a message that %s is rejected', ([, data, why]) => {
  expect(() => read(ENVELOPE, data)).toThrow(why);
});
