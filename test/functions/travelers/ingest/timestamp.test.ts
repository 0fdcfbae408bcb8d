import { expect, test } from 'vitest';
import { timestampsIn } from '../../../../functions/travelers/ingest/timestamp.ts';

const utc = timestampsIn('UTC');
const berlin = timestampsIn('Europe/Berlin');
const at = (iso: string, micros = 0) => Date.parse(iso) * 1000 + micros;

test.for([
  ['2026-11-21T08:00:00', at('2026-11-21T08:00:00Z')],
  ['2026-11-21T08:00:00.123456', at('2026-11-21T08:00:00Z', 123_456)],
  ['2026-11-21 08:00:59.5', at('2026-11-21T08:00:59Z', 500_000)],
  ['2026-11-21T08:00:00.123456789', at('2026-11-21T08:00:00Z', 123_456)],
  ['2026-11-21T08:00:00Z', at('2026-11-21T08:00:00Z')],
  ['2026-11-21T08:00:00.000001+05:30', at('2026-11-21T02:30:00Z', 1)],
  ['2026-11-20T23:00:00-0800', at('2026-11-21T07:00:00Z')],
  ['2024-02-29T00:00:00', at('2024-02-29T00:00:00Z')],
  ['2026-11-21t08:00:00z', at('2026-11-21T08:00:00Z')],
  ['2026-11-21 08:00:00.5+00', at('2026-11-21T08:00:00Z', 500_000)],
  ['2026-11-21 08:00:00+02', at('2026-11-21T06:00:00Z')],
  ['2026-11-21 08:00:00-05', at('2026-11-21T13:00:00Z')],
] as const)('%s is parsed to the microsecond', ([text, micros]) => {
  expect(utc(text)).toBe(micros);
});

test.for([
  '',
  'now',
  '2026-11-21',
  '2026-11-21T08:00',
  '2026-11-21T08:00:60',
  '2026-11-21T24:00:00',
  '2026-11-21T08:60:00',
  '2026-02-30T08:00:00',
  '2026-13-01T08:00:00',
  '2026-11-21T08:00:00.',
  '2026-11-21T08:00:00.1x',
  '2026-11-21T08:00:00+24:00',
  '2026-11-21T08:00:00+24',
  '2026-11-21T08:00:00+2',
  '2026-11-21T08:00:00+02:',
  '2026-11-21T08:00:00 UTC',
  '26-11-21T08:00:00',
  '1969-12-31T23:59:59',
  ' 2026-11-21T08:00:00',
])('%j is refused, and shown', (text) => {
  expect(() => utc(text)).toThrow(`but is ${JSON.stringify(text)}`);
});

test('a time without an offset is local time in the zone, in summer and in winter', () => {
  expect(berlin('2026-07-01T12:00:00')).toBe(at('2026-07-01T10:00:00Z'));
  expect(berlin('2026-12-01T12:00:00')).toBe(at('2026-12-01T11:00:00Z'));
  expect(berlin('2026-12-01T12:00:00Z')).toBe(at('2026-12-01T12:00:00Z'));
});

test('an ambiguous local time is the earlier one, a skipped one is an hour later', () => {
  expect(berlin('2026-10-25T02:30:00')).toBe(at('2026-10-25T00:30:00Z'));
  expect(berlin('2026-10-25T03:00:00')).toBe(at('2026-10-25T02:00:00Z'));
  expect(berlin('2026-03-29T02:30:00')).toBe(at('2026-03-29T01:30:00Z'));
  expect(berlin('2026-03-29T03:00:00')).toBe(at('2026-03-29T01:00:00Z'));
});

test('zones with unusual offsets, and without one, are supported', () => {
  expect(timestampsIn('Asia/Kolkata')('2026-11-21T08:00:00')).toBe(at('2026-11-21T02:30:00Z'));
  expect(timestampsIn('America/Los_Angeles')('2026-11-21T08:00:00')).toBe(
    at('2026-11-21T16:00:00Z'),
  );
  expect(() => timestampsIn('Mars/Olympus')).toThrow(RangeError);
});
