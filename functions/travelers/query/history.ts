import type { Tx } from 'musterjs';
import { appendRow, BUCKET_COLUMNS, type BucketRow } from '../fold/buckets.ts';
import { HOUR, MINUTE, SECOND } from '../fold/length.ts';
import type { Progress } from '../fold/progress.ts';
import type { WindowPart, Windows } from './windows.ts';

/** Approximate number of rows per read. */
const PAGE = 20_000;

/**
 * Adds the stored buckets of the windows: for each period, the longest buckets that exist and that are not longer than
 * `grain`.
 */
export async function addStored(
  tx: Tx,
  windows: Windows,
  grain: number,
  { minutesTo, hoursTo }: Progress,
): Promise<void> {
  const { from, to, sensors } = windows;
  let begin = from;
  for (const [length, until] of [
    [HOUR, hoursTo],
    [MINUTE, minutesTo],
    [SECOND, Infinity],
  ] as const) {
    const end = Math.min(to, until);
    if (length > grain || end <= begin) continue;
    const page = Math.max(1, Math.floor(PAGE / (3 * sensors.length))) * length;
    for (; begin < end; begin = Math.min(begin + page, end)) {
      const next = Math.min(begin + page, end);
      for (const row of await readRange(tx, sensors, length, begin, next)) windows.add(toPart(row));
      windows.passed(next);
    }
  }
}

function toPart(row: BucketRow): WindowPart {
  return {
    sensor: row.sensor,
    type: row.type,
    start: row.start,
    samples: row.samples,
    addTo(tally, withStart) {
      if (withStart) tally.atStart += row.at_start;
      appendRow(tally, row);
    },
  };
}

async function readRange(
  tx: Tx,
  sensors: readonly number[],
  length: number,
  from: number,
  to: number,
): Promise<BucketRow[]> {
  const { rows } = await tx.query<BucketRow>(
    `select ${BUCKET_COLUMNS} from travelers.bucket
     where seconds = $1 and sensor = any ($2)
       and start >= to_timestamp($3) and start < to_timestamp($4)`,
    [length / SECOND, sensors, from / SECOND, to / SECOND],
  );
  return rows;
}
