export type Unit = 'ft/s' | 'mph' | 'km/h';
type Count = 'present' | 'entered' | 'left';

/** What the page shows; its address says it. */
export interface View {
  readonly sensor: string;
  readonly type: string;
  readonly mode: 'live' | 'range';
  readonly last: string;
  /** As the browser's clocks show it, without a zone; empty in a live view. */
  readonly from: string;
  readonly to: string;
  readonly step: string;
  /** Empty = as long as the step. */
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

export function defaultsOf(mode: View['mode']): View {
  return mode === 'live' ? LIVE : RANGE;
}

/** The view that an address asks for. */
export function fromAddress(search: string): View {
  const given = Object.fromEntries(new URLSearchParams(search));
  const mode = given['from'] === undefined && given['to'] === undefined ? 'live' : 'range';
  return { ...defaultsOf(mode), ...given, mode };
}

/** The address of a view; what is usual is left out. */
export function toAddress(view: View): string {
  const usual = defaultsOf(view.mode);
  const entries = (Object.keys(usual) as (keyof View)[])
    .filter((name) => name !== 'mode' && view[name] !== usual[name])
    .filter((name) => !(name === 'last' && view.mode === 'range'))
    .map((name) => [name, view[name]] as [string, string]);
  const search = new URLSearchParams(entries).toString();
  return search === '' ? location.pathname : `${location.pathname}?${search}`;
}

/** The zone of the browser's clocks. */
export const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Parameters of the API's `/metrics` and `/live`, but for the times. */
export function toParameters(view: View): URLSearchParams {
  const { sensor, type, step, window } = view;
  const parameters = new URLSearchParams({ sensor, type, step, group: 'type', tz: ZONE });
  if (window !== '') parameters.set('window', window);
  return parameters;
}

const UNITS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** Seconds of a duration such as `15m`. */
export function seconds(duration: string): number {
  const [, count, unit] = /^(\d+)([smhd])$/.exec(duration) ?? [];
  return Number(count) * (UNITS[unit ?? ''] ?? Number.NaN);
}
