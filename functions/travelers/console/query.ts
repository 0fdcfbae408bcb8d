import { BadField } from '../../../src/console/plugin.ts';
import { TYPES, type TravelerType } from '../ingest/sample.ts';
import { Zone } from './zone.ts';

/** Which travelers, and how their numbers are grouped. */
export interface Selection {
  /** Null = every sensor. Rising, without repeats. */
  readonly sensors: readonly number[] | null;
  readonly types: readonly TravelerType[];
  /** A series for each sensor, or one for their sum. */
  readonly bySensor: boolean;
  readonly byType: boolean;
  /** Milliseconds from one window's end to the next. */
  readonly step: number;
  /** Length of a window in milliseconds. */
  readonly window: number;
  readonly zone: Zone;
}

/** Windows that end at `first`, `first + step`, …, `last` (ms since 1970 UTC); none if `last` is less. */
export interface Windows {
  readonly first: number;
  readonly last: number;
}

/** Parameters as they stand in the URL. */
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

/** Values of an answer: windows by series. More is refused, with what would be few enough. */
const MOST_POINTS = 200_000;
/** A live stream sends all of its windows at its beginning. */
const MOST_LIVE_POINTS = 20_000;
/** Steps to propose. */
const ROUND = ['1s', '5s', '10s', '30s', '1m', '5m', '15m', '1h', '6h', '1d', '7d'];
const LONGEST_WINDOW = 7 * DAY;
/** Windows when only one end of the range is given, or none. */
const USUAL_COUNT = 60;

/** Reads all but the times; throws {@link BadField}. `known` are the sensors there are. */
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

/** Reads `from` and `to`; where one is missing, it is so that there are 60 windows. */
export function readWindows(given: Parameters, selection: Selection, now: number): Windows {
  const { step, zone } = selection;
  const usual = USUAL_COUNT * step;
  const end = given.to === undefined ? null : readTime('to', given.to, zone);
  const from =
    given.from === undefined
      ? Math.floor((end ?? now) / step) * step - usual
      : readTime('from', given.from, zone);
  const to = end ?? (given.from === undefined ? from + usual : Math.max(now, from + step));
  if (to <= from) throw new BadField('to', `must be after from (${zone.format(from)})`);
  const count = Math.floor((to - from) / step);
  if (count === 0) {
    throw new BadField('step', `must not be longer than from … to, which is ${inWords(to - from)}`);
  }
  return { first: from + step, last: from + count * step };
}

/** The windows of a live stream that begins now: those that end in the `last` so much time. */
export function readLiveWindows(given: Parameters, { step }: Selection, now: number): Windows {
  const last = readDuration('last', given.last ?? '15m', step, 7 * DAY);
  const to = Math.floor(now / step) * step;
  return { first: to - Math.floor(last / step) * step + step, last: to };
}

/** Throws {@link BadField} if the answer would be too large. */
export function refuseTooMany(
  selection: Selection,
  windows: Windows,
  known: ReadonlySet<number>,
  most = MOST_POINTS,
): void {
  const { step, sensors, bySensor, byType, types } = selection;
  const count = Math.floor((windows.last - windows.first) / step) + 1;
  const series = (bySensor ? (sensors?.length ?? known.size) : 1) * (byType ? types.length : 1);
  const points = count * series;
  if (points > most) {
    const enough = ROUND.find(
      (each) => readDuration('', each, 1, Infinity) * most >= step * points,
    );
    throw new BadField(
      'step',
      `makes ${points} points (${count} windows of ${series} series), and at most ${most} are answered: a step of ${enough ?? '31d'} would do`,
    );
  }
}

export function refuseTooManyLive(
  selection: Selection,
  windows: Windows,
  known: ReadonlySet<number>,
): void {
  refuseTooMany(selection, windows, known, MOST_LIVE_POINTS);
}

function readSensors(text: string, known: ReadonlySet<number>): readonly number[] | null {
  if (text.trim() === 'all') return null;
  const names = text.split(',').map((each) => each.trim());
  const wrong = names.find((each) => !/^-?\d{1,15}$/.test(each));
  if (wrong !== undefined) {
    throw new BadField('sensor', `must be all, or numbers separated by commas, not '${wrong}'`);
  }
  const ids = [...new Set(names.map(Number))].toSorted((a, b) => a - b);
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length > 0) {
    throw new BadField('sensor', `${unknown.join(', ')} is not known: nothing was heard from it`);
  }
  return ids;
}

function readList<T extends string>(field: string, text: string, values: readonly T[]): T[] {
  if (text.trim() === 'all' || text.trim() === '') return [];
  return text.split(',').map((each) => {
    const value = each.trim() as T;
    if (!values.includes(value)) {
      throw new BadField(field, `must be of ${values.join(', ')}, not '${each}'`);
    }
    return value;
  });
}

function readDuration(field: string, text: string, least: number, most: number): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? [];
  const duration = Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
  if (!(duration >= least && duration <= most)) {
    throw new BadField(
      field,
      `must be a number of s, m, h or d from ${inWords(least)} to ${inWords(most)}, not '${text}'`,
    );
  }
  return duration;
}

function readZone(name: string): Zone {
  try {
    return new Zone(name);
  } catch {
    throw new BadField('tz', `must be a time zone as Europe/Berlin or UTC, not '${name}'`);
  }
}

const TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/i;

/** RFC 3339, or without an offset: then it is what the zone's clocks show. */
function readTime(field: string, text: string, zone: Zone): number {
  const [, date, time = '00:00', seconds = ':00', offset] = TIME.exec(text) ?? [];
  const local = Date.parse(`${date}T${time}${seconds}Z`);
  const instant =
    offset === undefined
      ? zone.instantOf(Number.isNaN(local) ? 0 : local)
      : Date.parse(`${date}T${time}${seconds}${offset.toUpperCase()}`);
  // `Date` reads February 30th as a day in March.
  const exists = new Date(local || 0).toISOString().startsWith(`${date}`);
  if (Number.isNaN(local) || Number.isNaN(instant) || !exists) {
    throw new BadField(
      field,
      `must be a time as 2026-11-21T08:00:00Z, or without an offset in tz, not '${text}'`,
    );
  }
  if (instant % SECOND !== 0) {
    throw new BadField(field, `must be a whole second, not '${text}': nothing finer is kept`);
  }
  return instant;
}

function inWords(duration: number): string {
  const [unit, size] = Object.entries(UNITS).findLast(([, each]) => duration % each === 0)!;
  return `${duration / size}${unit}`;
}
