import type { Position, SettleContext, Tx } from '../../../src/function.ts';
import type { Options } from '../options.ts';
import { STAGING_LOCK } from '../ingest/stage.ts';

/**
 * Moves the watermark to where the next turn folds to: the least over all partitions of the time that they
 * have reached minus the lateness bound, so that nothing that is not late is older. An idle partition does
 * not hold it, as long as others go on; one that nobody reads does, and one that has records unread.
 *
 * The last statements of their transaction, because chunks wait for the lock until it ends. The lock
 * is what makes "older than the watermark is late" hold: chunks that did not know the new watermark
 * are committed before it is set, and are seen by the fold; those after it know it. It may be waited for
 * as long as a process is stopped in the middle of a chunk, and what is known of positions is as old as
 * the begin of the transaction; so silence is measured up to then, too.
 */
export async function moveWatermark(
  tx: Tx,
  { positions, now }: SettleContext,
  { lateness, idleAfter }: Options,
): Promise<void> {
  await tx.query('select pg_advisory_xact_lock($1)', [STAGING_LOCK]);
  const { rows } = await tx.query<PartitionRow>(HEAR, [
    positions.map((each) => each.topic),
    positions.map((each) => each.partition),
  ]);
  const positionOf = new Map(positions.map((each) => [`${each.topic} ${each.partition}`, each]));
  const partitions = rows.map((row) => {
    const position = positionOf.get(`${row.topic} ${row.partition}`);
    const age = ageOf(position, now);
    const isIdle = age !== null && age <= Math.max(lateness, LOOKS) && row.silent > idleAfter;
    return { reached: reachedBy(row, position, now), isIdle, age: age ?? 0 };
  });
  const newest = Math.max(0, ...partitions.map(({ reached }) => reached));
  const bounds = partitions.map(({ reached, isIdle, age }) =>
    // The others may be ahead by as much as the lateness bound without anything becoming late.
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
  /** The newest time of another sensor than the one that brought the newest of all. */
  second: number;
  /** Microseconds since it brought something, at the begin of the transaction. */
  silent: number;
}

// A partition that is seen for the first time has been silent from now on. One that has no position was
// forgotten, unless it was begun after the positions were read, which is no earlier than this transaction.
const HEAR = `
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

/** Readers look every second or so. */
const LOOKS = 3_000_000;

/** Microseconds since its reader saw that there was nothing to read; null: there is, or nobody reads it. */
function ageOf(position: Position | undefined, now: Date): number | null {
  if (position === undefined || position.next < position.end) return null;
  return (now.getTime() - position.reportedAt.getTime()) * 1000;
}

/**
 * How far a partition has come, as others may rely on it. A sensor whose clock is fast has not been
 * contradicted yet when it is first heard: of records that wait, others are to vouch for its time, and no
 * sample was taken after now.
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
