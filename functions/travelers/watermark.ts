import type { Position, SettleContext, Tx } from '../../src/function.ts';
import type { Options } from './options.ts';
import { STAGING_LOCK } from './stage.ts';

/**
 * Moves the watermark to where the next turn folds to: the least over all partitions of their newest
 * time minus the lateness bound, so that nothing that is not late is older. An idle partition does not
 * hold it, as long as others go on; one that nobody reads does, and one that has records unread.
 *
 * The last statements of their transaction, because chunks wait for the lock until it ends. The lock
 * is what makes "older than the watermark is late" hold: chunks that did not know the new watermark
 * are committed before it is set, and are seen by the fold; those after it know it.
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
  const holding = rows.filter((row) => {
    const position = positionOf.get(`${row.topic} ${row.partition}`);
    return !(isAtEnd(position, now, lateness) && row.silent > idleAfter);
  });
  const newest =
    holding.length > 0
      ? Math.min(...holding.map((row) => row.newest))
      : Math.max(0, ...rows.map((row) => row.newest));
  await tx.query('update travelers.progress set watermark = $1 where watermark < $1', [
    newest - lateness,
  ]);
}

interface PartitionRow {
  topic: string;
  partition: number;
  newest: number;
  /** Microseconds since it brought something. */
  silent: number;
}

// A partition that is seen for the first time has been silent from now on.
const HEAR = `
  with begun as (
    insert into travelers.partition (topic, partition, newest, heard_at)
    select topic, partition, 0, now() from unnest($1::text[], $2::int[]) as u (topic, partition)
    on conflict (topic, partition) do nothing
    returning topic, partition, newest, heard_at
  )
  select topic, partition, newest::float8 as newest,
         (extract(epoch from clock_timestamp() - heard_at) * 1e6)::float8 as silent
  from (select topic, partition, newest, heard_at from travelers.partition union all table begun) as p`;

/**
 * Its reader has just seen that there is nothing to read. Just is not longer ago than the lateness
 * bound: the others may be ahead by as much without anything becoming late.
 */
function isAtEnd(position: Position | undefined, now: Date, lateness: number): boolean {
  if (position === undefined || position.next < position.end) return false;
  return (now.getTime() - position.seenAt.getTime()) * 1000 <= Math.max(lateness, LOOKS);
}

/** Readers look every second or so. */
const LOOKS = 3_000_000;
