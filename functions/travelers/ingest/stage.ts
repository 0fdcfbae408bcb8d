import type { Chunk, Tx } from 'musterjs';
import { Hearing, type Heard } from './heard.ts';
import { MINUTE } from '../fold/length.ts';
import type { Options } from '../options.ts';
import type { Sample } from './sample.ts';
import { Samples } from '../fold/samples.ts';

/**
 * Key of an advisory lock, 'trav'. Transactions that stage samples hold it in shared mode; one that moves the
 * watermark (fold/watermark.ts) holds it in exclusive mode, briefly before it ends.
 */
export const STAGING_LOCK = 0x74726176;

/**
 * Stages the samples of a chunk, which are in the order of its records. Counts the late samples instead of staging
 * them, and counts the samples of sensors whose clocks are fast.
 */
export async function stage(
  tx: Tx,
  samples: readonly Sample[],
  { topic, partition }: Chunk,
  bounds: Pick<Options, 'lateness' | 'aheadAtMost'>,
): Promise<void> {
  await tx.query('select pg_advisory_xact_lock_shared($1)', [STAGING_LOCK]);
  // This is a separate statement, because its snapshot must include all commits that precede the lock.
  const { rows } = await tx.query<Heard & { watermark: number }>(
    `select coalesce(p.newest, 0)::float8 as newest, coalesce(p.sensor, -1) as sensor,
            coalesce(p.second, 0)::float8 as second, coalesce(p.doubts, 0) as doubts,
            watermark::float8 as watermark
     from travelers.progress left join travelers.partition p on p.topic = $1 and p.partition = $2`,
    [topic, partition],
  );
  const hearing = new Hearing(rows[0]!, bounds);
  const { timely, late, ahead } = classify(samples, hearing, rows[0]!.watermark);
  const counts = countByMinute(late, ahead);
  await tx.query(STAGE, [
    topic,
    partition,
    hearing.newest,
    hearing.sensor,
    hearing.second,
    hearing.doubts,
    hearing.reached,
    ...extentOf(timely),
    timely.length,
    Samples.of(timely).pack(),
    counts.map((each) => each.sensor),
    counts.map((each) => each.minute),
    counts.map((each) => each.late),
    counts.map((each) => each.ahead),
  ]);
}

// The rows of late samples are sorted to avoid deadlocks, because chunks of other partitions lock the same ones.
// `heard_at` is the time of the statement, because a process may have been suspended since its transaction began.
const STAGE = `
  with heard as (
    insert into travelers.partition as p (topic, partition, newest, sensor, second, doubts, reached, heard_at)
    values ($1, $2, $3, $4, $5, $6, $7, clock_timestamp())
    on conflict (topic, partition) do update
    set newest = excluded.newest, sensor = excluded.sensor, second = excluded.second,
        doubts = excluded.doubts, reached = excluded.reached, heard_at = excluded.heard_at
  ), kept as (
    insert into travelers.staged (oldest, newest, samples, data)
    select $8::float8, $9::float8, $10::int, $11::bytea where $10 > 0
  )
  insert into travelers.late as l (sensor, start, samples, ahead)
  select sensor, to_timestamp(minute), late, ahead
  from unnest($12::int[], $13::float8[], $14::int[], $15::int[]) as u (sensor, minute, late, ahead)
  order by sensor, minute
  on conflict (sensor, start) do update
  set samples = l.samples + excluded.samples, ahead = l.ahead + excluded.ahead`;

/**
 * Determines which samples are late and which are ahead. Whether a sample is late depends on the samples before it in
 * the partition, and so not on how the partition is divided into chunks. A sample that is older than the watermark is
 * late too, because its time has been or is about to be folded; such a sample can come from a partition that was
 * idle.
 */
function classify(samples: readonly Sample[], hearing: Hearing, watermark: number) {
  const timely: Sample[] = [];
  const late: Sample[] = [];
  const ahead: Sample[] = [];
  for (const sample of samples) {
    const heard = hearing.hear(sample);
    const isLate = heard.late || sample.at < watermark;
    (isLate ? late : timely).push(sample);
    if (heard.ahead) ahead.push(sample);
  }
  return { timely, late, ahead };
}

/** Returns the oldest and the newest time; nulls if there are none, because PostgreSQL has no infinite integers. */
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

/** Counts late samples and samples that are ahead, by sensor and minute. */
function countByMinute(late: readonly Sample[], ahead: readonly Sample[]) {
  const counts = new Map<string, { sensor: number; minute: number; late: number; ahead: number }>();
  const countOf = ({ sensor, at }: Sample) => {
    // in seconds since 1970 UTC
    const minute = Math.floor(at / MINUTE) * 60;
    const key = `${sensor} ${minute}`;
    let count = counts.get(key);
    if (count === undefined) counts.set(key, (count = { sensor, minute, late: 0, ahead: 0 }));
    return count;
  };
  for (const sample of late) countOf(sample).late += 1;
  for (const sample of ahead) countOf(sample).ahead += 1;
  return [...counts.values()];
}
