import type { Tx } from '../../src/function.ts';
import { appendRow, BUCKET_COLUMNS, type BucketRow } from './buckets.ts';
import { HOUR, MINUTE, SECOND } from './length.ts';
import type { Progress } from './progress.ts';
import type { WindowPart, Windows } from './windows.ts';

/** Rows read at once. */
const PAGE = 20_000;

/**
 * Every stored bucket that windows are made of, once: as long ones as there are, but none longer than
 * `grain`.
 */
export async function eachBucket(
  tx: Tx,
  { from, to, sensors }: Windows,
  grain: number,
  { minutesTo, hoursTo }: Progress,
  add: (part: WindowPart) => void,
): Promise<void> {
  let begin = from;
  for (const [length, until] of [
    [HOUR, hoursTo],
    [MINUTE, minutesTo],
    [SECOND, Infinity],
  ] as const) {
    const end = Math.min(to, until);
    if (length > grain || end <= begin) continue;
    for await (const row of readRange(tx, sensors, length, begin, end)) add(toPart(row));
    begin = end;
  }
}

function toPart(row: BucketRow): WindowPart {
  return {
    ...row,
    addTo(tally, withStart) {
      if (withStart) tally.atStart += row.at_start;
      appendRow(tally, row);
    },
  };
}

async function* readRange(
  tx: Tx,
  sensors: readonly number[],
  length: number,
  from: number,
  to: number,
): AsyncIterableIterator<BucketRow> {
  const pageLength = Math.max(1, Math.floor(PAGE / (3 * sensors.length))) * length;
  for (let begin = from; begin < to; begin += pageLength) {
    const { rows } = await tx.query<BucketRow>(
      `select ${BUCKET_COLUMNS} from travelers.bucket
       where seconds = $1 and sensor = any ($2)
         and start >= to_timestamp($3) and start < to_timestamp($4)`,
      [length / SECOND, sensors, begin / SECOND, Math.min(begin + pageLength, to) / SECOND],
    );
    yield* rows;
  }
}
