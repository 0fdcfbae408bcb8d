import type { Tx } from '../../../src/function.ts';
import { floorTo, MINUTE, SECOND } from '../fold/length.ts';
import type { MetricsQuery } from './types.ts';

export interface SensorState {
  readonly sensor: number;
  /** Times of its oldest and newest sample that are folded, milliseconds since 1970 UTC. */
  readonly firstHeard: number;
  readonly lastHeard: number;
  /** Samples that came too late to be counted, ever. */
  readonly late: number;
}

/** Every sensor that was heard, once a sample of it is folded; rising. */
export async function sensors(tx: Tx): Promise<SensorState[]> {
  const { rows } = await tx.query<SensorState>(
    `select id as sensor, (extract(epoch from first_heard) * 1e3)::float8 as "firstHeard",
            (extract(epoch from last_heard) * 1e3)::float8 as "lastHeard",
            (select coalesce(sum(samples), 0) from travelers.late where sensor = id)::float8 as late
     from travelers.sensor order by id`,
  );
  return rows;
}

/** Samples of each sensor that its clock put ahead of what other sensors said; only of those that have any. */
export async function clocksAhead(tx: Tx): Promise<ReadonlyMap<number, number>> {
  const { rows } = await tx.query<{ sensor: number; ahead: number }>(
    'select sensor, sum(ahead)::float8 as ahead from travelers.late where ahead > 0 group by sensor',
  );
  return new Map(rows.map(({ sensor, ahead }) => [sensor, ahead]));
}

/** How far things are, in milliseconds since 1970 UTC, and their decimals; null where nothing was heard. */
export interface Newest {
  /** Time that the partitions have reached: windows that end by then have begun to fill in whole. */
  readonly newest: number | null;
  /** Windows that end by then are final. */
  readonly finalTo: number | null;
  /** Another one whenever a provisional window may be another one. */
  readonly version: string;
}

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

export interface Late {
  readonly sensor: number;
  /** Begin of a minute, milliseconds since 1970 UTC. */
  readonly start: number;
  readonly samples: number;
}

/** Samples that came too late to be counted, by sensor and minute, of the minutes that touch [from, to). */
export async function late(
  tx: Tx,
  { sensors: asked, from, to }: Pick<MetricsQuery, 'sensors' | 'from' | 'to'>,
): Promise<Late[]> {
  const { rows } = await tx.query<Late>(
    `select sensor, (extract(epoch from start) * 1e3)::float8 as start, samples::float8 as samples
     from travelers.late
     where samples > 0 and start >= to_timestamp($1) and start < to_timestamp($2) and ($3::int[] is null or sensor = any ($3))
     order by sensor, start`,
    [floorTo(from * 1000, MINUTE) / SECOND, to / 1000, asked === 'all' ? null : asked],
  );
  return rows;
}
