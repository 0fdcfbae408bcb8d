import type { Duration } from '../function.ts';

const UNITS = { millisecond: 1, second: 1e3, minute: 6e4, hour: 3.6e6, day: 8.64e7 } as const;
const PATTERN = /^(\d+(?:\.\d+)?) (millisecond|second|minute|hour|day)s?$/;

/** Parses `'15 minutes'` to milliseconds. Throws a `RangeError` that describes the valid form. */
export function milliseconds(duration: Duration): number {
  const [, amount, unit] = PATTERN.exec(duration) ?? [];
  if (amount === undefined || unit === undefined) {
    throw new RangeError(
      `'${duration}' is not a duration: write a number and a unit, as in '15 minutes' (milliseconds, seconds, minutes, hours or days)`,
    );
  }
  return Number(amount) * UNITS[unit as keyof typeof UNITS];
}
