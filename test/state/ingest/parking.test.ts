import { expect } from 'vitest';
import { problemWith } from '../../../src/intake/cloudevents/attributes.ts';
import { toParking } from '../../../src/state/ingest/parking.ts';
import { test } from '../../support/test.ts';

const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };

function stored(attributes: Record<string, string>): Record<string, string> {
  const origin = { attributes, contentType: null, body: Buffer.alloc(0) };
  return JSON.parse(toParking(origin, 'bad-key', 'why').attributes) as Record<string, string>;
}

test('the stored attributes of an event fit into the headers of a dead letter', () => {
  const many = Object.fromEntries(
    Array.from({ length: 3_000 }, (_, i) => [`kafkaheader${i}`, 'x'.repeat(i % 700)]),
  );
  const kept = stored({ ...many, ...event });
  expect(kept).toMatchObject(event);
  const bytes = Object.entries(kept).map(([name, value]) => name.length + value.length);
  expect(bytes.reduce((a, b) => a + b)).toBeLessThan(4_200);
  expect(Number(kept['musteromitted']) + Object.keys(kept).length - 1).toBe(3_004);
});

test.for<[what: string, long: string, start: string]>([
  ['a long value is cut', 'k'.repeat(600), 'k'.repeat(256)],
  ['no character is cut in half', `${'k'.repeat(255)}${'😀'.repeat(100)}`, 'k'.repeat(255)],
  [
    'no encoded character is cut in half',
    `${'k'.repeat(255)}${'%e2'.repeat(100)}`,
    'k'.repeat(255),
  ],
])('%s, and the rest names its length', ([, long, start]) => {
  const bytes = Buffer.byteLength(long);
  expect(stored({ ...event, key: long })['key']).toBe(`${start}...(${bytes}-bytes)`);
});

test('a CloudEvent whose attributes were cut is still valid', () => {
  const long = `/apis/${'%e2%82%ac'.repeat(200)}`;
  expect(problemWith(stored({ ...event, source: long, id: long, key: long }))).toBe(null);
});

test('an event keeps its identity if its attributes were cut', () => {
  expect(digestOf('a'.repeat(900))).toBe(digestOf('a'.repeat(900)));
  expect(digestOf('a'.repeat(900))).not.toBe(digestOf(`${'a'.repeat(899)}b`));
});

test("what PostgreSQL can't store is replaced everywhere", async ({ db }) => {
  const origin = {
    attributes: { ...event, 'a\0b': 'c\0d', '\ud800': 'e' },
    contentType: 'text/\0plain',
    contentEncoding: 'gzip\0',
    body: Buffer.alloc(0),
  };
  const { attributes, contentType, contentEncoding } = toParking(origin, 'bad-key', 'f\0');
  expect(contentType).toBe('text/\\0plain');
  expect(JSON.parse(attributes)).toEqual({ ...event, 'a\\0b': 'c\\0d', '\ufffd': 'e' });
  await db.query('select $1::jsonb, $2::text, $3::text', [
    attributes,
    contentType,
    contentEncoding,
  ]);
});

function digestOf(id: string): string {
  const origin = { attributes: { ...event, id }, contentType: null, body: Buffer.alloc(0) };
  return toParking(origin, 'bad-key', 'why').digest.toString('hex');
}
