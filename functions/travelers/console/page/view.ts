export type Unit = 'ft/s' | 'mph' | 'km/h';
type Count = 'present' | 'entered' | 'left';

/** The selection that the page shows, which is stored in its URL. */
export interface View {
  readonly sensor: string;
  readonly type: string;
  readonly mode: 'live' | 'range';
  readonly last: string;
  /** Local time of the browser, without an offset; empty in a live view. */
  readonly from: string;
  readonly to: string;
  readonly step: string;
  /** Empty if it is as long as the step. */
  readonly window: string;
  readonly unit: Unit;
  readonly count: Count;
}

const LIVE: View = {
  sensor: 'all',
  type: 'all',
  mode: 'live',
  last: '15m',
  from: '',
  to: '',
  step: '5s',
  window: '1m',
  unit: 'ft/s',
  count: 'present',
};
const RANGE: View = { ...LIVE, mode: 'range', step: '1m', window: '' };

/** Returns the default view of a mode. */
export function defaultsOf(mode: View['mode']): View {
  return mode === 'live' ? LIVE : RANGE;
}

/** Reads a view from the query string of the URL. */
export function fromAddress(search: string): View {
  const given = Object.fromEntries(new URLSearchParams(search));
  const mode = given['from'] === undefined && given['to'] === undefined ? 'live' : 'range';
  return { ...defaultsOf(mode), ...given, mode };
}

/** Returns the URL of a view, without the parameters that have their default values. */
export function toAddress(view: View): string {
  const defaults = defaultsOf(view.mode);
  const entries = (Object.keys(defaults) as (keyof View)[])
    .filter((name) => name !== 'mode' && view[name] !== defaults[name])
    .filter((name) => !(name === 'last' && view.mode === 'range'))
    .map((name) => [name, view[name]] as [string, string]);
  const search = new URLSearchParams(entries).toString();
  return search === '' ? location.pathname : `${location.pathname}?${search}`;
}

/** The time zone of the browser. */
export const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Returns the parameters of the API's `/metrics` and `/live`, except the times. */
export function toParameters(view: View): URLSearchParams {
  const { sensor, type, step, window } = view;
  const parameters = new URLSearchParams({ sensor, type, step, group: 'type', tz: ZONE });
  if (window !== '') parameters.set('window', window);
  return parameters;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Converts a duration such as `15m` into seconds. */
export function seconds(duration: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  return Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
}
