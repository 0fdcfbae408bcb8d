import { BadField, type Reader } from 'musterjs/console';
import { metrics } from '../query/metrics.ts';
import { type MetricsQuery, type Step } from '../query/types.ts';
import { QueryError } from '../query/refuse.ts';
import { StagedSamples } from '../fold/staged.ts';
import { clocksAhead, newest, sensors, type Newest, type SensorState } from '../query/state.ts';
import type { Selection, Windows } from './query.ts';

/** A sensor, with the number of its samples that other sensors contradict, because its clock is fast. */
export interface ListedSensor extends SensorState {
  readonly ahead?: number;
}

/** The source of all numbers. */
export interface Source {
  /** Returns all windows of the range, in ascending order; throws {@link BadField}. */
  windows(selection: Selection, windows: Windows): Promise<readonly Step[]>;
  /** Returns all sensors, in ascending order. */
  sensors(): Promise<readonly ListedSensor[]>;
  newest(): Promise<Newest>;
}

/** The URL parameter of each field of a query. */
const PARAMETERS: Readonly<Record<keyof MetricsQuery, string>> = {
  sensors: 'sensor',
  types: 'type',
  from: 'from',
  to: 'to',
  stepMs: 'step',
  windowMs: 'window',
  groupBy: 'group',
};

/** Creates a source that reads from the state database. */
export function databaseSource(db: Reader): Source {
  const staged = new StagedSamples();
  return {
    async windows({ sensors: ids, types, bySensor, byType, step, window }, { first, last }) {
      const query = {
        sensors: ids ?? ('all' as const),
        types,
        from: first - step,
        to: last,
        stepMs: step,
        windowMs: window,
        groupBy: { sensor: bySensor, type: byType },
      };
      try {
        return (await db.read((tx) => metrics(tx, query, staged))).steps;
      } catch (error) {
        if (error instanceof QueryError) throw new BadField(PARAMETERS[error.field], error.message);
        throw error;
      }
    },
    sensors: () =>
      db.read(async (tx) => {
        const ahead = await clocksAhead(tx);
        return (await sensors(tx)).map((each) => ({ ...each, ahead: ahead.get(each.sensor) ?? 0 }));
      }),
    newest: () => db.read(newest),
  };
}
