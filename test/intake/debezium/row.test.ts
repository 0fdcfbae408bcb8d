import { expect, test } from 'vitest';
import { readChange } from '../../../src/intake/debezium/read-change.ts';
import { parseExact } from '../../../src/lib/exact-json.ts';
import { UNAVAILABLE } from '../../../src/state/change.ts';
import { insert, kafkaEvent } from '../messages.ts';

test('an integer beyond 2^53 stays exact at any depth, a double stays a double', () => {
  const text = JSON.stringify(insert).replace(
    '"PLACED"',
    '9007199254740993,"deep":{"a":[{"b":-18446744073709551617}]},"double":1.7e300,"huge":1e400',
  );
  const reading = readChange(kafkaEvent(text));
  expect(JSON.stringify(rowOf(reading))).toBe(
    '{"id":42,"state":9007199254740993,"deep":{"a":[{"b":-18446744073709551617}]},"double":1.7e+300,"huge":1e400}',
  );
});

test('digits inside a string stay a string', () => {
  const note = 'a\\"12345678901234567890\\\\';
  const text = JSON.stringify(insert).replace(
    '"PLACED"',
    () => `9007199254740993,"note":"${note}","12345678901234567890":"12345678901234567890"`,
  );
  expect(JSON.stringify(rowOf(readChange(kafkaEvent(text))))).toBe(
    `{"id":42,"state":9007199254740993,"note":"${note}","12345678901234567890":"12345678901234567890"}`,
  );
});

test('an integer beyond 2^53 does not slow down reading other numbers', () => {
  const numbers = `9007199254740993,"list":[${'1,'.repeat(300_000)}1]`;
  const text = JSON.stringify(insert).replace('"PLACED"', () => numbers);
  // 4 times as long; with a reviver that receives the source text, 30 times
  expect(quickest(() => parseExact(text))).toBeLessThan(15 * quickest(() => JSON.parse(text)));
});

test('a column named like Debezium’s nanoseconds stays exact', () => {
  const text = JSON.stringify(insert).replace('"PLACED"', '1,"ts_ns":1795251013227056001');
  expect(JSON.stringify(rowOf(readChange(kafkaEvent(text))))).toBe(
    '{"id":42,"state":1,"ts_ns":1795251013227056001}',
  );
});

test.for([
  ['text', '__debezium_unavailable_value'],
  ['bytes', 'X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=='],
  ['an array of text', ['__debezium_unavailable_value']],
  ['an array of bytes', ['X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==']],
  ['an array of uuid', ['b68a35a7-17ad-35b3-af2a-ae46edb4545a']],
  ['an array of int', [...Buffer.from('__debezium_unavailable_value')]],
  ['hstore', { __debezium_unavailable_value: '__debezium_unavailable_value' }],
] as const)('the placeholder of %s is no value', ([, placeholder]) => {
  const event = kafkaEvent({ ...insert, op: 'u', after: { id: 42, state: placeholder } });
  expect(rowOf(readChange(event))).toEqual({ id: 42, state: UNAVAILABLE });
});

test('keys named __proto__ are removed and change no prototype', () => {
  const text = JSON.stringify(insert).replace(
    '"PLACED"',
    '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"__proto__":{"polluted":1}',
  );
  const row = rowOf(readChange(kafkaEvent(text)));
  expect(JSON.stringify(row)).toBe(
    '{"id":42,"state":{"constructor":{"prototype":{"polluted":1}}}}',
  );
  expect(Object.getPrototypeOf(row)).toBe(Object.prototype);
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
});

function rowOf(reading: ReturnType<typeof readChange>): unknown {
  if (reading.kind !== 'row') throw new Error(JSON.stringify(reading));
  return reading.row;
}

/** Milliseconds that it takes at its quickest. */
function quickest(read: () => unknown): number {
  const times = [1, 2, 3].map(() => {
    const start = performance.now();
    read();
    return performance.now() - start;
  });
  return Math.min(...times);
}
