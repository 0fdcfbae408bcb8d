import type { Tx } from 'musterjs';
import { SECOND } from './length.ts';
import type { Tally } from './tally.ts';

/** A stored bucket: the numbers of the travelers of one type at one sensor in a period of time. */
export interface BucketRow {
  readonly sensor: number;
  /** Index of the type in TYPES. */
  readonly type: number;
  /** Microseconds since 1970 UTC. */
  readonly start: number;
  readonly at_start: number;
  readonly entered: number;
  readonly left_view: number;
  readonly samples: number;
  readonly path: string;
  readonly moved: string;
  readonly slowest: number | null;
  readonly fastest: number | null;
  readonly histogram: Buffer | null;
}

export const BUCKET_COLUMNS = `sensor, type, (extract(epoch from start) * 1e6)::float8 as start,
  at_start, entered, left_view, samples, path, moved, slowest, fastest, histogram`;

/** Adds a row to a tally, except the travelers in view at its start. */
export function appendRow(tally: Tally, row: BucketRow): void {
  tally.entered += row.entered;
  tally.left += row.left_view;
  tally.samples += row.samples;
  if (row.histogram === null) return;
  tally.addMoves(row.path, Number(row.moved), row.slowest!, row.fastest!, row.histogram);
}

/** A bucket to be written. */
export interface Bucket {
  readonly sensor: number;
  /** Index of the type in TYPES. */
  readonly type: number;
  /** Microseconds since 1970 UTC. */
  readonly start: number;
  readonly tally: Tally;
}

/** Adds the stored numbers of each second to its bucket. */
export async function addStored(tx: Tx, buckets: readonly Bucket[]): Promise<void> {
  const keyOf = ({ sensor, type, start }: Omit<Bucket, 'tally'>) => `${sensor} ${type} ${start}`;
  const tallies = new Map(buckets.map((each) => [keyOf(each), each.tally]));
  const { rows } = await tx.query<BucketRow>(
    `select ${BUCKET_COLUMNS}
     from unnest($1::int[], $2::float8[], $3::int[]) as key (of_sensor, second, of_type)
     join travelers.bucket
       on seconds = 1 and sensor = of_sensor and start = to_timestamp(second) and type = of_type`,
    [
      buckets.map((each) => each.sensor),
      buckets.map((each) => each.start / SECOND),
      buckets.map((each) => each.type),
    ],
  );
  for (const row of rows) {
    const tally = tallies.get(keyOf(row))!;
    tally.atStart += row.at_start;
    appendRow(tally, row);
  }
}

/** Writes buckets of a length (1, 60 or 3600 seconds), replacing the stored ones. */
export async function write(tx: Tx, seconds: number, buckets: readonly Bucket[]): Promise<void> {
  if (buckets.length === 0) return;
  await tx.query(WRITE, [
    seconds,
    buckets.map((each) => each.sensor),
    buckets.map((each) => each.start / SECOND),
    buckets.map((each) => each.type),
    buckets.map(({ tally }) => tally.atStart),
    buckets.map(({ tally }) => tally.entered),
    buckets.map(({ tally }) => tally.left),
    buckets.map(({ tally }) => tally.samples),
    buckets.map(({ tally }) => tally.path),
    buckets.map(({ tally }) => tally.moved),
    buckets.map(({ tally }) => orNull(tally.slowest)),
    buckets.map(({ tally }) => orNull(tally.fastest)),
    buckets.map(({ tally }) => tally.histogram?.pack() ?? null),
  ]);
}

/** Returns null for the extremes of an empty tally, which are infinite. */
function orNull(speed: number): number | null {
  return Number.isFinite(speed) ? speed : null;
}

const WRITE = `
  insert into travelers.bucket (seconds, sensor, start, type, at_start, entered, left_view, samples,
                                path, moved, slowest, fastest, histogram)
  select $1::int, sensor, to_timestamp(start), type, at_start, entered, left_view, samples,
         path, moved, slowest, fastest, histogram
  from unnest($2::int[], $3::float8[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[],
              $9::numeric[], $10::int8[], $11::float8[], $12::float8[], $13::bytea[])
       as u (sensor, start, type, at_start, entered, left_view, samples,
             path, moved, slowest, fastest, histogram)
  order by sensor, start, type
  on conflict (seconds, sensor, start, type) do update
  set at_start = excluded.at_start, entered = excluded.entered, left_view = excluded.left_view,
      samples = excluded.samples, path = excluded.path, moved = excluded.moved,
      slowest = excluded.slowest, fastest = excluded.fastest, histogram = excluded.histogram`;
