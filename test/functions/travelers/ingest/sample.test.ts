import { expect, test } from 'vitest';
import { readOptions } from '../../../../functions/travelers/options.ts';
import { travelers } from '../../../../functions/travelers/projection.ts';
import { recordOf } from '../../../support/feed.ts';

const projection = travelers(readOptions({}));
const GOOD = {
  traveler_id: 'E41CD473-f5e3-4d68-a981-f6c03cf7ae7e',
  traveler_type: 'bicyclist',
  position: [0, 81.85179899446666],
  timestamp: '2026-11-21T08:00:01.036752',
  sensor_id: 52,
};
const given = (value: unknown) => projection.read(recordOf(0, value));

test('a record of the topic is parsed', () => {
  expect(given(GOOD)).toEqual({
    sensor: 52,
    traveler: GOOD.traveler_id,
    type: 'bicyclist',
    at: Date.parse('2026-11-21T08:00:01Z') * 1000 + 36_752,
    x: 0,
    y: 81.85179899446666,
  });
});

test('a byte order mark before a record is ignored', () => {
  const text = `\ufeff${JSON.stringify(GOOD)}`;
  expect(projection.read({ ...recordOf(0, GOOD), value: Buffer.from(text) })).toEqual(given(GOOD));
});

test('a tombstone is ignored', () => {
  expect(projection.read({ ...recordOf(0, GOOD), value: null })).toBeUndefined();
});

test.for([
  [Buffer.from('{"traveler_id"'), 'the value is not JSON: '],
  [Buffer.from([0xff, 0x00]), 'the value is not JSON: '],
  [[GOOD], 'the value is not a JSON object'],
  [null, 'the value is not a JSON object'],
  [{ ...GOOD, traveler_id: 7 }, 'traveler_id must be a UUID, but is 7'],
  [{ ...GOOD, traveler_id: 'x' }, 'traveler_id must be a UUID, but is "x"'],
  [
    { ...GOOD, traveler_type: 'horse' },
    'traveler_type must be one of pedestrian, bicyclist, vehicle, but is "horse"',
  ],
  [
    { ...GOOD, sensor_id: 1.5 },
    'sensor_id must be a whole number from 0 to 2147483647, but is 1.5',
  ],
  [{ ...GOOD, sensor_id: -1 }, 'sensor_id must be a whole number from 0 to 2147483647, but is -1'],
  [
    { ...GOOD, sensor_id: '5' },
    'sensor_id must be a whole number from 0 to 2147483647, but is "5"',
  ],
  [{ ...GOOD, position: [1] }, 'position must be [x, y] in feet, within ±1000000, but is [1]'],
  [
    { ...GOOD, position: [1, '2'] },
    'position must be [x, y] in feet, within ±1000000, but is [1,"2"]',
  ],
  [
    { ...GOOD, position: [1, 2e6] },
    'position must be [x, y] in feet, within ±1000000, but is [1,2000000]',
  ],
  [{ ...GOOD, position: undefined }, 'but is missing'],
  [{ ...GOOD, timestamp: 1_795_161_640 }, 'timestamp must be a string, but is 1795161640'],
  [{ ...GOOD, timestamp: 'yesterday' }, 'timestamp must be a time since 1970 such as'],
] as const)('%j is refused with the reason', ([value, message]) => {
  expect(() => given(value)).toThrow(message);
});

test('a time far in the future is refused, because it would make all later samples late', () => {
  const timestamp = new Date(Date.now() + 3_600_000).toISOString();
  expect(() => given({ ...GOOD, timestamp })).toThrow(
    'timestamp is 3600 s in the future; TRAVELERS_AHEAD_SECONDS allows at most 60 s',
  );
});

test('options are read from the environment, and all errors are reported together', () => {
  expect(
    readOptions({ TRAVELERS_ZONE: 'Europe/Berlin', TRAVELERS_LATENESS_SECONDS: '0.5' }),
  ).toEqual({
    zone: 'Europe/Berlin',
    lateness: 500_000,
    visitTimeout: 10_000_000,
    idleAfter: 10_000_000,
    aheadAtMost: 60_000_000,
    keepSeconds: 3_600_000_000,
    keepMinutes: 3_024_000_000_000,
  });
  expect(() => readOptions({ TRAVELERS_ZONE: 'Mars', TRAVELERS_IDLE_SECONDS: '-1' })).toThrow(
    "TRAVELERS_IDLE_SECONDS must be a number from 0.001 to 100000, not '-1'; TRAVELERS_ZONE must be a time zone such as Europe/Berlin, not 'Mars'",
  );
});
