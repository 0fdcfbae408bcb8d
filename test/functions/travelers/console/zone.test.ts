import { expect, test } from 'vitest';
import { Zone } from '../../../../functions/travelers/console/zone.ts';

test.for([
  ['UTC', '2026-11-20T08:00:00', '2026-11-20T08:00:00Z'],
  ['Europe/Berlin', '2026-11-20T08:00:00', '2026-11-20T08:00:00+01:00'],
  ['Europe/Berlin', '2026-07-20T08:00:00.25', '2026-07-20T08:00:00.250+02:00'],
  ['Asia/Kolkata', '2026-11-20T08:00:00', '2026-11-20T08:00:00+05:30'],
  ['America/St_Johns', '2026-11-20T08:00:00', '2026-11-20T08:00:00-03:30'],
  // Clocks go from 2 to 3 o'clock, and from 3 to 2.
  ['Europe/Berlin', '2026-03-29T01:59:59', '2026-03-29T01:59:59+01:00'],
  ['Europe/Berlin', '2026-03-29T02:30:00', '2026-03-29T03:30:00+02:00'],
  ['Europe/Berlin', '2026-03-29T03:00:00', '2026-03-29T03:00:00+02:00'],
  ['Europe/Berlin', '2026-10-25T02:30:00', '2026-10-25T02:30:00+02:00'],
  ['Europe/Berlin', '2026-10-25T03:00:00', '2026-10-25T03:00:00+01:00'],
] as const)('in %s, %s is %s', ([name, local, instant]) => {
  const zone = new Zone(name);
  const at = zone.instantOf(Date.parse(`${local}Z`));
  expect(at).toBe(Date.parse(instant));
  expect(zone.format(at)).toBe(instant);
});

test('an invalid time zone is refused', () => {
  expect(() => new Zone('Mars/Base')).toThrow(RangeError);
});
