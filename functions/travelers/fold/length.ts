/** Lengths of buckets in microseconds. */
export const SECOND = 1_000_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

/** Returns the greatest multiple of `length` that is at most `time`. */
export function floorTo(time: number, length: number): number {
  return Math.floor(time / length) * length;
}
