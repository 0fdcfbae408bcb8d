/**
 * The response bodies of the travelers API. Each is declared once: its type, its JSON Schema in the documentation
 * and the check of every body that is sent are derived from the declaration. The page is compiled against the
 * types.
 */
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

/** One value per window; null if the sensors were silent or, for a speed, if no traveler moved. */
export type Column = (number | null)[];
/** Declares one schema instead of a union, which would be checked twice for each of up to 1,800,000 values. */
const column = (description: string) =>
  Type.Unsafe<Column>({ type: 'array', items: { type: ['number', 'null'] }, description });

const time = (description: string) => Type.String({ format: 'date-time', description });

export type Series = Static<typeof Series>;
/** The numbers of one sensor or the sum of several, and of one type or the sum of several. */
export const Series = Type.Object(
  {
    sensor: Type.String({
      description:
        'A single sensor, such as `17`; the requested sensors, such as `17,18`, if this is their sum; or `all`.',
      examples: ['all', '17'],
    }),
    type: Type.String({
      description:
        'A single type; the requested types, separated by commas, if this is their sum; or `all`.',
      examples: ['all', 'bicyclist'],
    }),
    present: column(
      'Travelers in view during the window. A traveler that is in view in several windows counts in each.',
    ),
    entered: column('Visits that began in the window.'),
    left: column('Visits that ended in the window.'),
    speed: Type.Object(
      {
        min: column('Speed of the slowest move.'),
        average: column('Total path divided by total time.'),
        max: column('Speed of the fastest move.'),
        p50: column('Median, weighted by time, nearest rank.'),
        p85: column('85th percentile, weighted by time, nearest rank.'),
        p95: column('95th percentile, weighted by time, nearest rank.'),
      },
      {
        ...closed,
        description:
          'Feet per second. `average` and the percentiles are computed from the parts of moves that lie in the window, `min` and `max` from the moves that touch it. Null if no traveler moved.',
      },
    ),
  },
  closed,
);

export type MetricsAnswer = Static<typeof MetricsAnswer>;
/** The body of `GET /metrics`, and the data of each `metrics` event of `GET /live`. */
export const MetricsAnswer = Type.Object(
  {
    tz: Type.String({ description: 'Time zone of the times in this response.' }),
    stepMs: Type.Integer({
      description: 'Time from the end of one window to the end of the next, in milliseconds.',
    }),
    windowMs: Type.Integer({ description: 'Length of each window, in milliseconds.' }),
    ends: Type.Array(Type.String({ format: 'date-time' }), {
      description: 'End of each window, in ascending order. A window is [end − window, end).',
    }),
    provisional: Type.Array(Type.Boolean(), {
      description: 'For each window, whether its numbers may still change.',
    }),
    series: Type.Array(Series),
  },
  closed,
);

export type Sensor = Static<typeof Sensor>;
/** One sensor that has been heard. */
export const Sensor = Type.Object(
  {
    id: Type.Integer(),
    firstHeard: time('Time of its oldest sample.'),
    lastHeard: time('Time of its newest sample.'),
    late: Type.Integer({
      description: 'Number of samples that arrived too late to be counted.',
    }),
    ahead: Type.Integer({
      description:
        'Number of samples whose timestamps are contradicted by other sensors, because the clock of this sensor is fast. They are counted in the windows of their timestamps.',
    }),
  },
  closed,
);

export type SensorsAnswer = Static<typeof SensorsAnswer>;
/** The body of `GET /sensors`. */
export const SensorsAnswer = Type.Object(
  {
    sensors: Type.Array(Sensor),
    newest: Type.Union([time(''), Type.Null()], {
      description:
        'Time of the newest sample that is not contradicted by other sensors; null before the first sample.',
    }),
    finalTo: Type.Union([time(''), Type.Null()], {
      description: 'Windows that end by this time are final; null before the first sample.',
    }),
  },
  closed,
);
