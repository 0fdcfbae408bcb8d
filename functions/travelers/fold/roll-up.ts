import type { Tx } from 'musterjs';
import { appendRow, BUCKET_COLUMNS, write, type Bucket, type BucketRow } from './buckets.ts';
import { floorTo, HOUR, MINUTE, SECOND } from './length.ts';
import type { Options } from '../options.ts';
import type { Progress } from './progress.ts';
import { ALL_SENSORS } from './tallies.ts';
import { Tally } from './tally.ts';

/** Number of coarse buckets whose fine ones are removed in one turn. It is small, because a turn should be short. */
const REMOVED_PER_TURN = 10;

/**
 * Rolls up the next final minute and the next final hour, and removes seconds and minutes that have been kept long
 * enough. Sums, extremes and histograms merge exactly, so the numbers of whole minutes are the same whether they
 * are read from minutes or from seconds.
 */
export async function rollUp(
  tx: Tx,
  progress: Progress,
  { keepSeconds, keepMinutes }: Options,
): Promise<{ progress: Progress; more: boolean }> {
  const minuteLimit = floorTo(progress.finalTo, MINUTE);
  const minutesTo = await rollNext(tx, SECOND, MINUTE, progress.minutesTo, minuteLimit);
  const hourLimit = floorTo(minutesTo, HOUR);
  const hoursTo = await rollNext(tx, MINUTE, HOUR, progress.hoursTo, hourLimit);

  const secondLimit = Math.min(floorTo(progress.finalTo - keepSeconds, MINUTE), minutesTo);
  const secondsFrom = await removeNext(tx, SECOND, MINUTE, progress.secondsFrom, secondLimit);
  const hourKeptTo = Math.min(floorTo(progress.finalTo - keepMinutes, HOUR), hoursTo);
  const minutesFrom = await removeNext(tx, MINUTE, HOUR, progress.minutesFrom, hourKeptTo);
  return {
    progress: { ...progress, minutesTo, hoursTo, secondsFrom, minutesFrom },
    more:
      minutesTo < minuteLimit ||
      hoursTo < hourLimit ||
      secondsFrom < secondLimit ||
      minutesFrom < hourKeptTo,
  };
}

/** Rolls up the first non-empty coarse bucket from `from` on; returns the time up to which buckets are rolled up. */
async function rollNext(tx: Tx, fine: number, coarse: number, from: number, limit: number) {
  if (limit <= from) return from;
  const begin = await nextStart(tx, fine, coarse, from, limit);
  if (begin === null) return limit;
  const rows = await readRange(tx, fine, begin, begin + coarse);
  const buckets = new Map<number, Bucket>();
  for (const row of rows) {
    const key = row.sensor * 4 + row.type;
    let bucket = buckets.get(key);
    if (bucket === undefined) {
      bucket = { sensor: row.sensor, type: row.type, start: begin, tally: new Tally() };
      buckets.set(key, bucket);
    }
    if (row.start === begin) bucket.tally.atStart = row.at_start;
    appendRow(bucket.tally, row);
  }
  await write(tx, coarse / SECOND, [...buckets.values()]);
  return begin + coarse;
}

/** Removes some of the fine buckets before `limit`; returns the time from which fine buckets remain. */
async function removeNext(tx: Tx, fine: number, coarse: number, from: number, limit: number) {
  if (limit <= from) return from;
  const begin = await nextStart(tx, fine, coarse, 0, limit);
  if (begin === null) return limit;
  const to = Math.min(begin + REMOVED_PER_TURN * coarse, limit);
  await tx.query(
    `delete from travelers.bucket
     where seconds = $1 and start < to_timestamp($2)
       and sensor = any (array(select id from travelers.sensor union all select ${ALL_SENSORS}))`,
    [fine / SECOND, to / SECOND],
  );
  return to;
}

/** Returns the start of the first coarse bucket in [from, limit) that contains fine ones; null if there is none. */
async function nextStart(tx: Tx, fine: number, coarse: number, from: number, limit: number) {
  const { rows } = await tx.query<{ start: number }>(
    `select (extract(epoch from start) * 1e6)::float8 as start from travelers.bucket
     where seconds = $1 and sensor = ${ALL_SENSORS} and start >= to_timestamp($2) and start < to_timestamp($3)
     order by start limit 1`,
    [fine / SECOND, from / SECOND, limit / SECOND],
  );
  return rows[0] === undefined ? null : floorTo(rows[0].start, coarse);
}

async function readRange(tx: Tx, seconds: number, from: number, to: number): Promise<BucketRow[]> {
  const { rows } = await tx.query<BucketRow>(
    `select ${BUCKET_COLUMNS} from travelers.bucket
     where seconds = $1 and start >= to_timestamp($2) and start < to_timestamp($3)
       and sensor = any (array(select id from travelers.sensor union all select ${ALL_SENSORS}))`,
    [seconds / SECOND, from / SECOND, to / SECOND],
  );
  return rows;
}
