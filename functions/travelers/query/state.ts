import type { Tx } from 'musterjs';
import { floorTo, MINUTE, SECOND } from '../fold/length.ts';
import type { MetricsQuery } from './types.ts';

/** The state of a sensor. */
export interface SensorState {
  readonly sensor: number;
  /** Time of its oldest folded sample, in milliseconds since 1970 UTC. */
  readonly firstHeard: number;
  /** Time of its newest folded sample, in milliseconds since 1970 UTC. */
  readonly lastHeard: number;
  /** Total number of samples that arrived too late to be counted. */
  readonly late: number;
}

/** Returns all sensors of which at least one sample is folded, in ascending order. */
export async function sensors(tx: Tx): Promise<SensorState[]> {
  const { rows } = await tx.query<SensorState>(
    `select id as sensor, (extract(epoch from first_heard) * 1e3)::float8 as "firstHeard",
            (extract(epoch from last_heard) * 1e3)::float8 as "lastHeard",
            (select coalesce(sum(samples), 0) from travelers.late where sensor = id)::float8 as late
     from travelers.sensor order by id`,
  );
  return rows;
}

/** Returns, for each sensor with a fast clock, the number of its samples that were ahead of the other sensors. */
export async function clocksAhead(tx: Tx): Promise<ReadonlyMap<number, number>> {
  const { rows } = await tx.query<{ sensor: number; ahead: number }>(
    'select sensor, sum(ahead)::float8 as ahead from travelers.late where ahead > 0 group by sensor',
  );
  return new Map(rows.map(({ sensor, ahead }) => [sensor, ahead]));
}

/** The progress of the stream, in milliseconds since 1970 UTC, with fractions; null if nothing has been heard. */
export interface Newest {
  /** The newest time that a partition has reached. */
  readonly newest: number | null;
  /** Windows that end by then are final. */
  readonly finalTo: number | null;
  /** Differs whenever a provisional window may have changed. */
  readonly version: string;
}

/** Reads the progress of the stream. */
export async function newest(tx: Tx): Promise<Newest> {
  const { rows } = await tx.query<Newest>(
    `select nullif(max(p.reached), 0)::float8 / 1000 as newest,
            nullif(greatest(final_to, 0), 0)::float8 / 1000 as "finalTo",
            concat(folded_to, '-', (select max(id) from travelers.staged)) as version
     from travelers.progress left join travelers.partition p on true
     group by final_to, folded_to`,
  );
  return rows[0]!;
}

/** The late samples of a sensor in a minute. */
export interface Late {
  readonly sensor: number;
  /** Start of the minute, in milliseconds since 1970 UTC. */
  readonly start: number;
  readonly samples: number;
}

/** Returns the number of late samples by sensor and minute, for the minutes that overlap [from, to). */
export async function late(
  tx: Tx,
  { sensors: selected, from, to }: Pick<MetricsQuery, 'sensors' | 'from' | 'to'>,
): Promise<Late[]> {
  const { rows } = await tx.query<Late>(
    `select sensor, (extract(epoch from start) * 1e3)::float8 as start, samples::float8 as samples
     from travelers.late
     where samples > 0 and start >= to_timestamp($1) and start < to_timestamp($2) and ($3::int[] is null or sensor = any ($3))
     order by sensor, start`,
    [floorTo(from * 1000, MINUTE) / SECOND, to / 1000, selected === 'all' ? null : selected],
  );
  return rows;
}
