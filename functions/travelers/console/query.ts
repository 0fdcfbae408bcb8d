import { BadField } from 'musterjs/console';
import { TYPES, type TravelerType } from '../ingest/sample.ts';
import { Zone } from './zone.ts';

/** The travelers and windows of a query, and how their numbers are grouped. */
export interface Selection {
  /** Null for all sensors; otherwise ascending and distinct. */
  readonly sensors: readonly number[] | null;
  readonly types: readonly TravelerType[];
  /** Whether each sensor has its own series; otherwise, the sensors are summed. */
  readonly bySensor: boolean;
  /** Whether each type has its own series; otherwise, the types are summed. */
  readonly byType: boolean;
  /** Time from one window's end to the next, in milliseconds. */
  readonly step: number;
  /** Length of a window, in milliseconds. */
  readonly window: number;
  readonly zone: Zone;
}

/** The windows that end at `first`, `first + step`, …, `last` (ms since 1970 UTC); none if `last` < `first`. */
export interface Windows {
  readonly first: number;
  readonly last: number;
}

/** The parameters of a request, as in its URL. */
export interface Parameters {
  readonly sensor?: string;
  readonly type?: string;
  readonly from?: string;
  readonly to?: string;
  readonly step?: string;
  readonly window?: string;
  readonly group?: string;
  readonly tz?: string;
  readonly last?: string;
  readonly format?: 'json' | 'csv';
}

const SECOND = 1000;
const DAY = 86_400 * SECOND;
const UNITS: Readonly<Record<string, number>> = {
  s: SECOND,
  m: 60 * SECOND,
  h: 3600 * SECOND,
  d: DAY,
};

/** Maximum number of points (windows × series) in a response; a larger one is rejected, with a suggested step. */
const MAX_POINTS = 200_000;
/** Maximum number of points of a live stream, which sends all of its windows at its start. */
const MAX_LIVE_POINTS = 20_000;
/** Steps to suggest. */
const ROUND = ['1s', '5s', '10s', '30s', '1m', '5m', '15m', '1h', '6h', '1d', '7d'];
const LONGEST_WINDOW = 7 * DAY;
/** Number of windows if the range lacks one of its ends or both. */
const DEFAULT_COUNT = 60;

/** Reads all parameters except the times; throws {@link BadField}. `known` contains all sensors. */
export function readSelection(given: Parameters, known: ReadonlySet<number>): Selection {
  const step = readDuration('step', given.step ?? '60s', SECOND, 31 * DAY);
  const group = readList('group', given.group ?? '', ['sensor', 'type']);
  const types = readList('type', given.type ?? 'all', TYPES);
  return {
    sensors: readSensors(given.sensor ?? 'all', known),
    types: types.length === 0 ? TYPES : TYPES.filter((each) => types.includes(each)),
    bySensor: group.includes('sensor'),
    byType: group.includes('type'),
    step,
    window:
      given.window === undefined
        ? Math.min(step, LONGEST_WINDOW)
        : readDuration('window', given.window, SECOND, LONGEST_WINDOW),
    zone: readZone(given.tz ?? 'UTC'),
  };
}

/** Reads `from` and `to`; throws {@link BadField}. A missing end is chosen such that there are 60 windows. */
export function readWindows(given: Parameters, selection: Selection, now: number): Windows {
  const { step, zone } = selection;
  const length = DEFAULT_COUNT * step;
  const end = given.to === undefined ? null : readTime('to', given.to, zone);
  const from =
    given.from === undefined
      ? Math.floor((end ?? now) / step) * step - length
      : readTime('from', given.from, zone);
  const to = end ?? (given.from === undefined ? from + length : Math.max(now, from + step));
  if (to <= from) throw new BadField('to', `must be after from (${zone.format(from)})`);
  const count = Math.floor((to - from) / step);
  if (count === 0) {
    throw new BadField(
      'step',
      `must not be longer than the range from … to, which is ${formatDuration(to - from)}`,
    );
  }
  return { first: from + step, last: from + count * step };
}

/** Reads `last`; returns the windows of a live stream that begins now: those that end within the range `last`. */
export function readLiveWindows(given: Parameters, { step }: Selection, now: number): Windows {
  const last = readDuration('last', given.last ?? '15m', step, 7 * DAY);
  const to = Math.floor(now / step) * step;
  return { first: to - Math.floor(last / step) * step + step, last: to };
}

/** Throws {@link BadField} if the response would have too many points. */
export function refuseTooMany(
  selection: Selection,
  windows: Windows,
  known: ReadonlySet<number>,
  max = MAX_POINTS,
): void {
  const { step, sensors, bySensor, byType, types } = selection;
  const count = Math.floor((windows.last - windows.first) / step) + 1;
  const series = (bySensor ? (sensors?.length ?? known.size) : 1) * (byType ? types.length : 1);
  const points = count * series;
  if (points > max) {
    const enough = ROUND.find((each) => readDuration('', each, 1, Infinity) * max >= step * points);
    throw new BadField(
      'step',
      `makes ${points} points (${count} windows of ${series} series), which is more than the maximum of ${max}: use a step of ${enough ?? '31d'}`,
    );
  }
}

/** Throws {@link BadField} if the first event of a live stream would have too many points. */
export function refuseTooManyLive(
  selection: Selection,
  windows: Windows,
  known: ReadonlySet<number>,
): void {
  refuseTooMany(selection, windows, known, MAX_LIVE_POINTS);
}

function readSensors(text: string, known: ReadonlySet<number>): readonly number[] | null {
  if (text.trim() === 'all') return null;
  const names = text.split(',').map((each) => each.trim());
  const wrong = names.find((each) => !/^-?\d{1,15}$/.test(each));
  if (wrong !== undefined) {
    throw new BadField('sensor', `must be 'all' or numbers separated by commas, not '${wrong}'`);
  }
  const ids = [...new Set(names.map(Number))].toSorted((a, b) => a - b);
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new BadField('sensor', `${unknown.join(', ')} is unknown: it has not been heard yet`);
  }
  return ids;
}

function readList<T extends string>(field: string, text: string, values: readonly T[]): T[] {
  if (text.trim() === 'all' || text.trim() === '') return [];
  return text.split(',').map((each) => {
    const value = each.trim() as T;
    if (!values.includes(value)) {
      throw new BadField(field, `must be one or more of ${values.join(', ')}, not '${each}'`);
    }
    return value;
  });
}

function readDuration(field: string, text: string, min: number, max: number): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const duration = Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (!(duration >= min && duration <= max)) {
    throw new BadField(
      field,
      `must be a duration in s, m, h or d, from ${formatDuration(min)} to ${formatDuration(max)}, not '${text}'`,
    );
  }
  return duration;
}

function readZone(name: string): Zone {
  try {
    return new Zone(name);
  } catch {
    throw new BadField('tz', `must be a time zone such as Europe/Berlin or UTC, not '${name}'`);
  }
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/i;

/** Reads a time in the format of RFC 3339. A time without an offset is local time in `zone`. */
function readTime(field: string, text: string, zone: Zone): number {
  const [, date, time = '00:00', seconds = ':00', offset] = TIME.exec(text) ?? [];
  const local = Date.parse(`${date}T${time}${seconds}Z`);
  const instant =
    offset === undefined
      ? zone.instantOf(Number.isNaN(local) ? 0 : local)
      : Date.parse(`${date}T${time}${seconds}${offset.toUpperCase()}`);
  // `Date` interprets February 30th as a day in March.
  const exists = new Date(local || 0).toISOString().startsWith(`${date}`);
  if (Number.isNaN(local) || Number.isNaN(instant) || !exists) {
    throw new BadField(
      field,
      `must be a time such as 2026-11-21T08:00:00Z, or local time in tz without an offset, not '${text}'`,
    );
  }
  if (instant % SECOND !== 0) {
    throw new BadField(field, `must be a whole second, not '${text}'`);
  }
  return instant;
}

/** Formats a duration in the largest unit of which it is a multiple. */
function formatDuration(duration: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, each]) => duration % each === 0)!;
  return `${duration / size}${unit}`;
}
