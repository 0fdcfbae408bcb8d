import type { Chunk, Tx } from '../../src/function.ts';
import { MINUTE } from './length.ts';
import type { Sample } from './sample.ts';
import { Samples } from './samples.ts';

/**
 * Held in shared mode by whoever stages, and in exclusive mode by whoever moves the watermark
 * (watermark.ts), for the moment that it takes: 'trav'.
 */
export const STAGING_LOCK = 0x74726176;

/** Stages the samples of a chunk, in the order of its records, and counts those that are late. */
export async function stage(
  tx: Tx,
  samples: readonly Sample[],
  { topic, partition }: Chunk,
  lateness: number,
): Promise<void> {
  await tx.query('select pg_advisory_xact_lock_shared($1)', [STAGING_LOCK]);
  // A statement of its own: its snapshot must show what was committed before the lock was had.
  const { rows } = await tx.query<{ newest: string; watermark: string }>(
    `select coalesce((select newest from travelers.partition where topic = $1 and partition = $2), 0) as newest,
            watermark
     from travelers.progress`,
    [topic, partition],
  );
  const heard = Number(rows[0]!.newest);
  const watermark = Number(rows[0]!.watermark);
  const { timely, late, newest } = sift(samples, heard, watermark, lateness);
  const counts = countByMinute(late);
  await tx.query(STAGE, [
    topic,
    partition,
    newest,
    ...extentOf(timely),
    timely.length,
    Samples.of(timely).pack(),
    counts.map((each) => each.sensor),
    counts.map((each) => each.minute),
    counts.map((each) => each.samples),
  ]);
}

// The rows of late samples are sorted: chunks of other partitions lock the same ones.
const STAGE = `
  with heard as (
    insert into travelers.partition as p (topic, partition, newest, heard_at) values ($1, $2, $3, now())
    on conflict (topic, partition) do update
    set newest = greatest(p.newest, excluded.newest), heard_at = now()
  ), kept as (
    insert into travelers.staged (oldest, newest, samples, data)
    select $4::float8, $5::float8, $6::int, $7::bytea where $6 > 0
  )
  insert into travelers.late as l (sensor, start, samples)
  select sensor, to_timestamp(minute), samples
  from unnest($8::int[], $9::float8[], $10::int[]) as u (sensor, minute, samples)
  order by sensor, minute
  on conflict (sensor, start) do update set samples = l.samples + excluded.samples`;

/**
 * Tells late samples by what came before them in the partition, so that it does not matter how the
 * partition was cut into chunks. What is older than the watermark is late too, because its time is
 * folded, or is about to be: a partition that was idle can bring such samples.
 */
function sift(samples: readonly Sample[], heard: number, watermark: number, lateness: number) {
  const timely: Sample[] = [];
  const late: Sample[] = [];
  let newest = heard;
  for (const sample of samples) {
    const isLate = sample.at < newest - lateness || sample.at < watermark;
    (isLate ? late : timely).push(sample);
    if (sample.at > newest) newest = sample.at;
  }
  return { timely, late, newest };
}

/** Oldest and newest; null where there are none, because Postgres knows no infinite integer. */
function extentOf(samples: readonly Sample[]): [number | null, number | null] {
  if (samples.length === 0) return [null, null];
  let oldest = Infinity;
  let newest = -Infinity;
  for (const { at } of samples) {
    if (at < oldest) oldest = at;
    if (at > newest) newest = at;
  }
  return [oldest, newest];
}

function countByMinute(late: readonly Sample[]) {
  const counts = new Map<string, { sensor: number; minute: number; samples: number }>();
  for (const { sensor, at } of late) {
    // seconds since 1970
    const minute = Math.floor(at / MINUTE) * 60;
    const key = `${sensor} ${minute}`;
    const count = counts.get(key);
    if (count === undefined) counts.set(key, { sensor, minute, samples: 1 });
    else count.samples += 1;
  }
  return [...counts.values()];
}
