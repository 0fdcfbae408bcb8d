/**
 * The answers of the travelers API. Each is declared once: the type, the JSON Schema in the documentation and
 * the check of each answer that is sent come from it. The page is compiled against the types.
 */
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

/** A value for each window; null if the sensors were silent, or (a speed) if no traveler moved. */
export type Column = (number | null)[];
/** One schema instead of a union, because a union would be checked twice for each of up to 1,800,000 values. */
const column = (description: string) =>
  Type.Unsafe<Column>({ type: 'array', items: { type: ['number', 'null'] }, description });

const time = (description: string) => Type.String({ format: 'date-time', description });

export type Series = Static<typeof Series>;
/** One line of a chart: one sensor or the sum of several, one type or the sum of several. */
export const Series = Type.Object(
  {
    sensor: Type.String({
      description: 'As requested: `all`, `17`, or `17,18` for a sum.',
      examples: ['all', '17'],
    }),
    type: Type.String({ examples: ['all', 'bicyclist'] }),
    present: column(
      'Travelers in view in the window; a traveler in view in several windows counts in each.',
    ),
    entered: column('Visits that began in the window.'),
    left: column('Visits that ended in the window.'),
    speed: Type.Object(
      {
        min: column('Slowest move.'),
        average: column('Path by time.'),
        max: column('Fastest move.'),
        p50: column('Median by time.'),
        p85: column('85th percentile by time, nearest rank.'),
        p95: column('95th percentile by time, nearest rank.'),
      },
      {
        ...closed,
        description:
          'Feet per second, over the parts of moves that lie in the window; null if no traveler moved.',
      },
    ),
  },
  closed,
);

export type MetricsAnswer = Static<typeof MetricsAnswer>;
/** Answer of `/metrics`, and data of each `metrics` event of `/live`. */
export const MetricsAnswer = Type.Object(
  {
    tz: Type.String({ description: 'Time zone of the times in this answer.' }),
    stepMs: Type.Integer({ description: 'Milliseconds from one window to the next.' }),
    windowMs: Type.Integer({ description: 'Length of each window in milliseconds.' }),
    ends: Type.Array(Type.String({ format: 'date-time' }), {
      description: 'End of each window, ascending; a window is [end − window, end).',
    }),
    provisional: Type.Array(Type.Boolean(), {
      description: 'True if the numbers of the window may still change.',
    }),
    series: Type.Array(Series),
  },
  closed,
);

export type Sensor = Static<typeof Sensor>;
export const Sensor = Type.Object(
  {
    id: Type.Integer(),
    firstHeard: time('Time of its oldest sample.'),
    lastHeard: time('Time of its newest sample.'),
    late: Type.Integer({
      description: 'Samples that arrived after the lateness bound and are not counted.',
    }),
    ahead: Type.Integer({
      description:
        'Samples that other sensors contradict: the clock of this one is fast. They count in the windows of their time.',
    }),
  },
  closed,
);

export type SensorsAnswer = Static<typeof SensorsAnswer>;
/** Answer of `/sensors`. */
export const SensorsAnswer = Type.Object(
  {
    sensors: Type.Array(Sensor),
    newest: Type.Union([time(''), Type.Null()], {
      description:
        'Time of the newest sample that other sensors don’t contradict; null before the first sample.',
    }),
    finalTo: Type.Union([time(''), Type.Null()], {
      description: 'Windows that end by this time are final.',
    }),
  },
  closed,
);
