/** Microseconds since 1970 UTC of a timestamp; throws an error that says what is wrong with it. */
export type ReadTime = (text: string) => number;

const MINUTE = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)$/;
/** PostgreSQL leaves out minutes that are none. */
const OFFSET = /^([+-])(\d\d)(?::?(\d\d))?$/;
const DAY_MS = 86_400_000;
/** Minutes are read once; a stream is in few of them at a time. */
const MOST_MINUTES = 10_000;

/**
 * Reads ISO 8601 timestamps, as precise as microseconds; what is finer is cut off. Those without an
 * offset are what the clocks of `zone` show. Twice a year that says too little, and is read as most
 * software reads it (RFC 5545, and "compatible" in ECMAScript's Temporal): a time that the clocks show
 * twice is the earlier one, a time that they leave out is as much later. So through the hour after clocks
 * are set back, samples without an offset seem an hour old, and are late: send offsets, or UTC.
 */
export function timestampsIn(zone: string): ReadTime {
  const offsetAt = offsetsOf(zone);
  const minutes = new Map<string, number>();

  /** Microseconds at which a minute begins, `text` up to the minute and then the offset. */
  function minuteOf(date: string, offset: string, text: string): number {
    const key = date + offset;
    const known = minutes.get(key);
    if (known !== undefined) return known;
    const [, day, time] = MINUTE.exec(date) ?? [];
    const local = Date.parse(`${day}T${time}:00Z`);
    // `Date` reads February 30th as a day in March.
    if (Number.isNaN(local) || !new Date(local).toISOString().startsWith(day!)) throw wrong(text);
    const utc = offset === '' ? toUtc(local, offsetAt) : local - readOffset(offset, text);
    if (utc < 0) throw wrong(text);
    if (minutes.size >= MOST_MINUTES) minutes.clear();
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

/** NaN if there is none. */
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

/** Milliseconds by which the clocks of a zone are ahead of UTC; throws a RangeError if there is no such zone. */
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
    `timestamp must be a time since 1970 as 2026-11-21T08:00:00.123456, with or without an offset, and is ${JSON.stringify(text.slice(0, 100))}`,
  );
}
