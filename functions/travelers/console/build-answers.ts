import type { Series as Measured, Step } from '../query/types.ts';
import type { Newest } from '../query/state.ts';
import type { ListedSensor } from './source.ts';
import type { Column, MetricsAnswer, SensorsAnswer } from './api-answers.ts';
import type { Selection } from './query.ts';

type Measure = (of: Measured) => number | null | undefined;

/** The columns of an answer, in the order of the CSV columns. */
const COUNTS = {
  present: (of) => of.present,
  entered: (of) => of.entered,
  left: (of) => of.left,
} satisfies Record<string, Measure>;

const SPEEDS = {
  min: (of) => of.speed?.min,
  average: (of) => of.speed?.average,
  max: (of) => of.speed?.max,
  p50: (of) => of.speed?.p50,
  p85: (of) => of.speed?.p85,
  p95: (of) => of.speed?.p95,
} satisfies Record<string, Measure>;

/** Formats the windows as columns: each series has one value per window. */
export function toMetrics(
  selection: Selection,
  steps: readonly Step[],
  known: readonly number[],
): MetricsAnswer {
  const { zone } = selection;
  const series = linesOf(selection, known).map(({ sensor, type, find }) => {
    const found = steps.map(find);
    const column = (measure: Measure): Column =>
      found.map((each) => (each === undefined ? null : (measure(each) ?? null)));
    const columns = <K extends string>(measures: Record<K, Measure>) =>
      Object.fromEntries(
        Object.entries<Measure>(measures).map(([name, measure]) => [name, column(measure)]),
      ) as Record<K, Column>;
    return { sensor, type, ...columns(COUNTS), speed: columns(SPEEDS) };
  });
  return {
    tz: zone.name,
    stepMs: selection.step,
    windowMs: selection.window,
    ends: steps.map((each) => zone.format(each.end)),
    provisional: steps.map((each) => !each.final),
    series,
  };
}

/** Formats the windows as CSV (RFC 4180): one line per window and series; null becomes an empty field. */
export function toCsv(
  selection: Selection,
  steps: readonly Step[],
  known: readonly number[],
): string {
  const { zone } = selection;
  const measures = [...Object.values<Measure>(COUNTS), ...Object.values<Measure>(SPEEDS)];
  const head = [
    'window_start',
    'window_end',
    'sensor',
    'type',
    ...Object.keys(COUNTS),
    ...Object.keys(SPEEDS).map((name) => `speed_${name}_ft_per_s`),
    'provisional',
  ];
  const lines = [head.join(',')];
  const series = linesOf(selection, known);
  for (const step of steps) {
    const times = `${zone.format(step.start)},${zone.format(step.end)}`;
    for (const { sensor, type, find } of series) {
      const found = find(step);
      const values = measures.map((measure) => (found === undefined ? '' : (measure(found) ?? '')));
      lines.push([times, quoted(sensor), quoted(type), ...values, !step.final].join(','));
    }
  }
  return `${lines.join('\r\n')}\r\n`;
}

/** Formats the list of sensors. */
export function toSensors(
  list: readonly ListedSensor[],
  { newest, finalTo }: Newest,
): SensorsAnswer {
  return {
    sensors: list.map(({ sensor, firstHeard, lastHeard, late, ahead = 0 }) => ({
      id: sensor,
      firstHeard: new Date(firstHeard).toISOString(),
      lastHeard: new Date(lastHeard).toISOString(),
      late,
      ahead,
    })),
    newest: timeOf(newest),
    finalTo: timeOf(finalTo),
  };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}

/** One series of an answer. */
interface Line {
  readonly sensor: string;
  readonly type: string;
  /** Returns its numbers in a window; undefined if its sensors were not heard in the window. */
  readonly find: (step: Step) => Measured | undefined;
}

/** Returns the series of an answer, in order. */
function linesOf(selection: Selection, known: readonly number[]): Line[] {
  const { sensors, types, bySensor, byType } = selection;
  const ids = bySensor ? (sensors ?? known) : [null];
  const kinds = byType ? types : [null];
  const sum = sensors === null ? 'all' : sensors.join();
  return ids.flatMap((id, i) =>
    kinds.map((kind, j) => {
      const index = i * kinds.length + j;
      const isIt = (each: Measured | undefined) => each?.sensor === id && each.type === kind;
      return {
        sensor: id === null ? sum : String(id),
        type: kind ?? (types.length === 3 ? 'all' : types.join()),
        find({ series }: Step) {
          // The index differs if a sensor was added after the window was cached.
          const found = isIt(series[index]) ? series[index] : series.find(isIt);
          return found?.alive ? found : undefined;
        },
      };
    }),
  );
}

function quoted(text: string): string {
  return text.includes(',') ? `"${text}"` : text;
}
