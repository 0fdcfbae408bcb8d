import type { Position, SettleContext, Tx } from 'musterjs';
import type { Options } from '../options.ts';
import { STAGING_LOCK } from '../ingest/stage.ts';

/**
 * Moves the watermark, up to which the next turn folds. It is the minimum, over all partitions, of the time that the
 * partition has reached, minus the lateness bound: every sample that is not late is newer. An idle partition does not
 * hold back the watermark while others advance, but one that no process reads or that has unread records does.
 *
 * These must be the last statements of their transaction, because chunks wait for the lock until it ends. The lock
 * guarantees that no sample older than the watermark is staged: chunks that did not see the new watermark have
 * committed before it is set, and are seen by the fold; later ones see it. Acquiring the lock can take as long as a
 * process is suspended in the middle of a chunk. The known positions date from the start of the transaction, so the
 * silence of a partition is measured up to then, too.
 */
export async function moveWatermark(
  tx: Tx,
  { positions, now }: SettleContext,
  { lateness, idleAfter }: Options,
): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [STAGING_LOCK]);
  const { rows } = await tx.query<PartitionRow>(READ_PARTITIONS, [
    positions.map((each) => each.topic),
    positions.map((each) => each.partition),
  ]);
  const positionOf = new Map(positions.map((each) => [`${each.topic} ${each.partition}`, each]));
  const partitions = rows.map((row) => {
    const position = positionOf.get(`${row.topic} ${row.partition}`);
    const age = ageOf(position, now);
    const isIdle =
      age !== null && age <= Math.max(lateness, MAX_REPORT_AGE) && row.silent > idleAfter;
    return { reached: reachedBy(row, position, now), isIdle, age: age ?? 0 };
  });
  const newest = Math.max(0, ...partitions.map(({ reached }) => reached));
  const bounds = partitions.map(({ reached, isIdle, age }) =>
    // An idle partition may have received records since its report, `age` ago; the lateness bound that is subtracted
    // below covers its part of that time.
    isIdle ? newest - Math.max(0, age - lateness) : reached,
  );
  await tx.query('update travelers.progress set watermark = $1 where watermark < $1', [
    Math.min(newest, ...bounds) - lateness,
  ]);
}

interface PartitionRow {
  topic: string;
  partition: number;
  reached: number;
  /** The newest time of any sensor other than the one with the newest sample. */
  second: number;
  /** Microseconds from its last chunk to the start of the transaction. */
  silent: number;
}

// The silence of a new partition begins now. A partition without a position has been forgotten and is deleted, unless
// it began after the positions were read, which is not before this transaction.
const READ_PARTITIONS = `
  with known as (
    select topic, partition from unnest($1::text[], $2::int[]) as u (topic, partition)
  ), begun as (
    insert into travelers.partition (topic, partition, newest, reached, heard_at)
    select topic, partition, 0, 0, now() from known
    on conflict (topic, partition) do nothing
    returning topic, partition, reached, second, heard_at
  ), forgotten as (
    delete from travelers.partition p
    where heard_at < now()
      and not exists (select from known k where k.topic = p.topic and k.partition = p.partition)
    returning topic, partition
  )
  select topic, partition, reached::float8 as reached, second::float8 as second,
         (extract(epoch from now() - heard_at) * 1e6)::float8 as silent
  from (
    select topic, partition, reached, second, heard_at from travelers.partition p
    where not exists (select from forgotten f where f.topic = p.topic and f.partition = p.partition)
    union all table begun
  ) as p`;

/** Maximum age of a reader's report, in microseconds; readers report about once per second. */
const MAX_REPORT_AGE = 3_000_000;

/** Returns the microseconds since a reader reported that it had read everything; null if there is no such report. */
function ageOf(position: Position | undefined, now: Date): number | null {
  if (position === undefined || position.next < position.end) return null;
  return (now.getTime() - position.reportedAt.getTime()) * 1000;
}

/**
 * Returns the time that a partition has reached, as far as the watermark may rely on it. A sensor with a fast clock has
 * not been contradicted yet when it is first heard. While records are unread, therefore, the time counts that another
 * sensor confirms; and times after now never count.
 */
function reachedBy(
  { reached, second }: PartitionRow,
  position: Position | undefined,
  now: Date,
): number {
  const isBehind = position !== undefined && position.next < position.end;
  const witnessed = isBehind && second > 0 ? second : reached;
  return Math.min(reached, witnessed, now.getTime() * 1000);
}
