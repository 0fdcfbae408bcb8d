import { ZONE, type Unit } from './view.ts';

const PER_FOOT_PER_SECOND: Readonly<Record<Unit, number>> = {
  'ft/s': 1,
  mph: 3600 / 5280,
  'km/h': 1.09728,
};

/** Converts a speed in feet per second into the unit. */
export function inUnit(speed: number, unit: Unit): number {
  return speed * PER_FOOT_PER_SECOND[unit];
}

const whole = new Intl.NumberFormat('en');
const tenths = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const NOTHING = '–';

/** Formats a count. */
export function countText(count: number | null | undefined): string {
  return count === null || count === undefined ? NOTHING : whole.format(count);
}

/** Formats a speed in feet per second in the unit. */
export function speedText(speed: number | null | undefined, unit: Unit): string {
  return speed === null || speed === undefined ? NOTHING : tenths.format(inUnit(speed, unit));
}

const formats = {
  second: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  minute: { hour: '2-digit', minute: '2-digit' },
  day: { day: 'numeric', month: 'short' },
  full: {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

const formatters = Object.fromEntries(
  Object.entries(formats).map(([name, options]) => [
    name,
    new Intl.DateTimeFormat('en-GB', { ...options, timeZone: ZONE }),
  ]),
) as unknown as Record<keyof typeof formats, Intl.DateTimeFormat>;

/** Formats a time, in seconds since 1970, as local time of the browser. */
export function timeText(at: number, detail: keyof typeof formats): string {
  return formatters[detail].format(at * 1000);
}

const NAMES: Readonly<Record<string, string>> = {
  pedestrian: 'Pedestrians',
  bicyclist: 'Bicyclists',
  vehicle: 'Vehicles',
};

/** Returns the name of a type or of the sum of several. */
export function typeName(type: string): string {
  return NAMES[type] ?? 'Travelers';
}

const LENGTHS: Readonly<Record<string, string>> = { s: 'second', m: 'minute', h: 'hour', d: 'day' };

/** Formats a duration: `5m` as `5 minutes`, and `1m` as `minute`. */
export function durationText(duration: string): string {
  const [, count, unit = ''] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  return count === '1' ? `${LENGTHS[unit]}` : `${count} ${LENGTHS[unit]}s`;
}
