import type { Tx } from 'musterjs';
import { SECOND } from './length.ts';
import { Samples } from './samples.ts';

/** Sensors and the travelers in their view. */
export interface KnownSensors {
  readonly ids: readonly number[];
  /** The last samples of the travelers in view of these sensors. */
  readonly inView: Samples;
}

/** Reads all sensors, or `only` some, with the travelers in view. */
export async function readSensors(
  tx: Tx,
  only: readonly number[] | null = null,
): Promise<KnownSensors> {
  const { rows } = await tx.query<{ id: number; in_view: Buffer }>(
    'select id, in_view from travelers.sensor where $1::int[] is null or id = any ($1)',
    [only],
  );
  return {
    ids: rows.map(({ id }) => id),
    inView: Samples.concat(rows.map(({ in_view }) => Samples.unpack(in_view))),
  };
}

/** Writes the sensors that were heard or whose travelers in view have changed. */
export async function writeSensors(
  tx: Tx,
  before: KnownSensors,
  inView: Samples,
  heard: readonly Samples[],
): Promise<void> {
  const indexes = indexesBySensor(inView);
  const spans = new Map<number, { first: number; last: number }>();
  for (const { count, sensor, at } of [before.inView, ...heard]) {
    for (let i = 0; i < count; i++) {
      const span = spans.get(sensor[i]!);
      if (span === undefined) spans.set(sensor[i]!, { first: at[i]!, last: at[i]! });
      else {
        span.first = Math.min(span.first, at[i]!);
        span.last = Math.max(span.last, at[i]!);
      }
    }
  }
  const ids = [...spans.keys()].toSorted((a, b) => a - b);
  await tx.query(
    `insert into travelers.sensor as s (id, first_heard, last_heard, in_view)
     select id, to_timestamp(first), to_timestamp(last), in_view
     from unnest($1::int[], $2::float8[], $3::float8[], $4::bytea[]) as u (id, first, last, in_view)
     on conflict (id) do update
     set first_heard = least(s.first_heard, excluded.first_heard),
         last_heard = greatest(s.last_heard, excluded.last_heard), in_view = excluded.in_view`,
    [
      ids,
      ids.map((id) => spans.get(id)!.first / SECOND),
      ids.map((id) => spans.get(id)!.last / SECOND),
      ids.map((id) => inView.pick(indexes.get(id) ?? []).pack()),
    ],
  );
}

function indexesBySensor({ count, sensor }: Samples): Map<number, number[]> {
  const indexes = new Map<number, number[]>();
  for (let i = 0; i < count; i++) {
    const own = indexes.get(sensor[i]!);
    if (own === undefined) indexes.set(sensor[i]!, [i]);
    else own.push(i);
  }
  return indexes;
}

/** Returns the ids of all sensors, in ascending order. */
export async function knownSensors(tx: Tx): Promise<number[]> {
  const { rows } = await tx.query<{ id: number }>('select id from travelers.sensor order by id');
  return rows.map(({ id }) => id);
}
