import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compileAvro } from '../../src/schemas/avro.ts';
import { ByteReader } from '../../src/schemas/byte-reader.ts';
import { long, text, varint } from './bytes.ts';

const read = (schema: unknown, ...data: Uint8Array[]): unknown => {
  const from = new ByteReader(Buffer.concat(data));
  const value = compileAvro(JSON.stringify(schema))(from);
  from.requireEnd();
  return value;
};
const record = (...fields: [name: string, type: unknown][]) => ({
  type: 'record',
  name: 'R',
  namespace: 'n',
  fields: fields.map(([name, type]) => ({ name, type })),
});

test.for<[string, unknown, Buffer, unknown]>([
  ['null', 'null', Buffer.of(), null],
  ['a boolean', 'boolean', Buffer.of(1), true],
  ['an int', { type: 'int', logicalType: 'date' }, long(-20_000), -20_000],
  ['a long', { type: 'long', 'connect.name': 'x' }, long(2 ** 40), 2 ** 40],
  ['a float', 'float', Buffer.of(0xcd, 0xcc, 0xcc, 0x3d), 0.1],
  ['no number', 'float', Buffer.of(0, 0, 0xc0, 0x7f), 'NaN'],
  ['a double', 'double', Buffer.of(0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f), 0.1],
  ['an infinite double', 'double', Buffer.of(0, 0, 0, 0, 0, 0, 0xf0, 0xff), '-Infinity'],
  ['a text', 'string', text('\ufeffein Wort 🙂'), '\ufeffein Wort 🙂'],
  ['bytes', { type: 'bytes', logicalType: 'decimal', scale: 2 }, text(Buffer.of(16, 104)), 'EGg='],
  ['a fixed type', { type: 'fixed', name: 'F', size: 2 }, Buffer.of(16, 104), 'EGg='],
  ['an enum', { type: 'enum', name: 'E', symbols: ['red', 'green'] }, long(1), 'green'],
  ['an optional value', ['null', 'string'], Buffer.concat([long(1), text('a')]), 'a'],
  ['an absent value', ['null', 'string'], long(0), null],
  ['an array', { type: 'array', items: 'int' }, Buffer.of(4, 2, 4, 1, 2, 6, 0), [1, 2, 3]],
  ['a map', { type: 'map', values: 'int' }, Buffer.of(2, 2, 0x61, 2, 0), { a: 1 }],
  ['a column __proto__', record(['__proto__', 'int']), long(7), JSON.parse('{"__proto__":7}')],
])('%s is read as JsonConverter writes it', ([, schema, data, expected]) => {
  expect(read(schema, data)).toEqual(expected);
});

test('every long stays exact', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      expect(JSON.stringify(read('long', long(value)))).toBe(String(value));
    }),
  );
});

test('a type is found by its name, in its namespace, and within itself', () => {
  const value = record(['id', 'long']);
  const schema = {
    type: 'record',
    name: 'n.Envelope',
    fields: [
      { name: 'before', type: ['null', value] },
      { name: 'after', type: ['null', 'R'] },
      { name: 'next', type: ['null', 'n.Envelope'] },
    ],
  };
  const data = [long(1), long(5), long(0), long(1), long(0), long(1), long(6), long(0)];
  expect(read(schema, ...data)).toEqual({
    before: { id: 5 },
    after: null,
    next: { before: null, after: { id: 6 }, next: null },
  });
});

test('a type of a schema that another one refers to is found', () => {
  const value = JSON.stringify(record(['id', 'long']));
  const compiled = compileAvro('{"type":"array","items":"n.R"}', [value]);
  expect(compiled(new ByteReader(Buffer.of(2, 8, 0)))).toEqual([{ id: 4 }]);
});

test.for<[string, unknown, Uint8Array[], string]>([
  ['ends early', 'double', [Buffer.alloc(6)], 'ends within a value, 2 bytes too early'],
  ['has too large a size', 'string', [long(5), Buffer.from('abc')], 'a size of 5 is beyond'],
  ['is longer', 'int', [long(5), long(6)], '1 bytes are left at the end'],
  ['has a negative size', 'string', [long(-1)], 'a size of -1 is beyond'],
  ['has no such branch', ['null', 'int'], [long(2)], 'a union has no branch 2'],
  ['has no such symbol', { type: 'enum', name: 'E', symbols: ['a'] }, [long(9)], 'no symbol 9'],
  ['has a boolean of 2', 'boolean', [Buffer.of(2)], 'a boolean is 2'],
  ['has a text of other bytes', 'string', [text(Buffer.of(0xff))], 'not in UTF-8'],
  ['has a long of 70 bits', 'long', [Buffer.alloc(10, 0xff)], 'more than 64 bits'],
  ['has a long of 65 bits', 'long', [Buffer.of(...Buffer.alloc(9, 0xff), 2)], 'more than 64 bits'],
])('data that %s is rejected', ([, schema, data, why]) => {
  expect(() => read(schema, ...data)).toThrow(why);
});

test.for([
  ['an array', { type: 'array', items: 'null' }],
  ['a map', { type: 'map', values: 'null' }],
  ['an array in blocks', { type: 'array', items: 'null' }],
])(
  'a few bytes that announce billions of elements of %s are rejected at once',
  ([what, schema]) => {
    const count = what === 'an array in blocks' ? [long(-(2 ** 40)), long(1)] : [long(2 ** 40)];
    expect(() => read(schema, ...count, varint(0))).toThrow(
      'announces more elements than it has bytes',
    );
  },
);

test('many blocks of elements without bytes are rejected', () => {
  const block = long(50);
  const data = Buffer.concat(Array.from({ length: 100 }, () => block));
  expect(() => read({ type: 'array', items: 'null' }, data)).toThrow(
    'announces more elements than it has bytes',
  );
});

test.for<[unknown, string]>([
  ['n.Missing', 'its type "n.Missing" is not defined'],
  [{ type: 'record', name: 'R' }, 'record R has no fields'],
  [{ type: 'record', fields: [] }, 'a type has no name'],
  [{ type: 'array' }, 'a type is missing'],
  [{ type: 'enum', name: 'E' }, 'an enum has no symbols'],
  [{ type: 'fixed', name: 'F' }, 'a fixed type has no size'],
])('the schema %j is rejected', ([schema, why]) => {
  expect(() => read(schema)).toThrow(why);
});
