/** Converts a timestamp into microseconds since 1970 UTC; throws an error that shows it if it is invalid. */
export type ReadTime = (text: string) => number;

const MINUTE = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)$/;
/** PostgreSQL omits the minutes of an offset if they are 0. */
const OFFSET = /^([+-])(\d\d)(?::?(\d\d))?$/;
const DAY_MS = 86_400_000;
/** Maximum number of cached minutes. Each is parsed once; a stream has few of them at a time. */
const MAX_MINUTES = 10_000;

/**
 * Returns a function that reads ISO 8601 timestamps, truncated to microseconds. A timestamp without an offset is local
 * time in `zone`. Twice a year that is ambiguous, and is resolved as in most software (RFC 5545, and "compatible" in
 * ECMAScript's Temporal): a local time that occurs twice is the earlier one, and one that is skipped is later by the
 * length of the gap. During the hour after clocks are set back, samples without an offset therefore appear to be an
 * hour old, and are late; sensors should send offsets, or UTC.
 */
export function timestampsIn(zone: string): ReadTime {
  const offsetAt = offsetsOf(zone);
  const minutes = new Map<string, number>();

  /** Returns the start of a minute in microseconds, given the parts of `text` up to the minute and after the second. */
  function minuteOf(date: string, offset: string, text: string): number {
    const key = date + offset;
    const known = minutes.get(key);
    if (known !== undefined) return known;
    const [, day, time] = MINUTE.exec(date) ?? [];
    const local = Date.parse(`${day}T${time}:00Z`);
    // `Date` interprets February 30th as a day in March.
    if (Number.isNaN(local) || !new Date(local).toISOString().startsWith(day!)) throw wrong(text);
    const utc = offset === '' ? toUtc(local, offsetAt) : local - readOffset(offset, text);
    if (utc < 0) throw wrong(text);
    if (minutes.size >= MAX_MINUTES) minutes.clear();
    minutes.set(key, utc * 1000);
    return utc * 1000;
  }

  return (text) => {
    const seconds = digit(text, 17) * 10 + digit(text, 18);
    if (text.charCodeAt(16) !== 58 /* : */ || !(seconds < 60)) throw wrong(text);
    let end = 19;
    let micros = 0;
    if (text.charCodeAt(end) === 46 /* . */) {
      end += 1;
      let worth = 100_000;
      for (let next = digit(text, end); next >= 0; next = digit(text, ++end)) {
        micros += next * worth;
        worth = worth === 1 ? 0 : worth / 10;
      }
      if (end === 20) throw wrong(text);
    }
    return minuteOf(text.slice(0, 16), text.slice(end), text) + seconds * 1_000_000 + micros;
  };
}

/** Returns the digit at an index; NaN if there is none. */
function digit(text: string, index: number): number {
  const value = text.charCodeAt(index) - 48;
  return value >= 0 && value <= 9 ? value : Number.NaN;
}

function readOffset(offset: string, text: string): number {
  if (offset === 'Z' || offset === 'z') return 0;
  const [, sign, hours, minutes = '0'] = OFFSET.exec(offset) ?? [];
  if (sign === undefined || Number(hours) > 23 || Number(minutes) > 59) throw wrong(text);
  return (sign === '-' ? -60_000 : 60_000) * (Number(hours) * 60 + Number(minutes));
}

function toUtc(local: number, offsetAt: (utc: number) => number): number {
  const before = offsetAt(local - DAY_MS);
  const after = offsetAt(local + DAY_MS);
  const right = [before, after].filter((offset) => offsetAt(local - offset) === offset);
  return right.length > 0 ? Math.min(...right.map((offset) => local - offset)) : local - before;
}

/**
 * Returns a function that computes the offset of a zone from UTC in milliseconds; throws a RangeError if there is no
 * such zone.
 */
function offsetsOf(zone: string): (utc: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    timeZoneName: 'longOffset',
    year: 'numeric',
  });
  return (utc) => {
    const name = format.formatToParts(utc).find(({ type }) => type === 'timeZoneName')!.value;
    const [, sign, hours, minutes, seconds] = /([+-])(\d\d):(\d\d)(?::(\d\d))?/.exec(name) ?? [];
    if (sign === undefined) return 0;
    const length = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds ?? 0);
    return (sign === '-' ? -1000 : 1000) * length;
  };
}

function wrong(text: string): Error {
  return new Error(
    `timestamp must be a time since 1970 such as 2026-11-21T08:00:00.123456, with or without an offset, but is ${JSON.stringify(text.slice(0, 100))}`,
  );
}
