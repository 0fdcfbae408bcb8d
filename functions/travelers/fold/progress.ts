import type { Tx } from 'musterjs';

/** The progress of the fold, in microseconds since 1970 UTC; the migration describes each field. */
export interface Progress {
  readonly watermark: number;
  readonly foldedTo: number;
  readonly finalTo: number;
  readonly minutesTo: number;
  readonly hoursTo: number;
  readonly secondsFrom: number;
  readonly minutesFrom: number;
  readonly visitTimeout: number;
}

const PROGRESS = `
  select watermark::float8 as watermark, folded_to::float8 as "foldedTo", final_to::float8 as "finalTo",
         minutes_to::float8 as "minutesTo", hours_to::float8 as "hoursTo",
         seconds_from::float8 as "secondsFrom", minutes_from::float8 as "minutesFrom",
         visit_timeout::float8 as "visitTimeout"
  from travelers.progress`;

/** Reads the progress. */
export async function readProgress(tx: Tx): Promise<Progress> {
  const { rows } = await tx.query<Progress>(PROGRESS);
  return rows[0]!;
}

/** Reads and locks the progress: a concurrent fold waits until the transaction ends, and then reads its result. */
export async function lockProgress(tx: Tx): Promise<Progress> {
  const { rows } = await tx.query<Progress>(`${PROGRESS} for update`);
  return rows[0]!;
}

/** Saves all but the watermark, unless nothing has changed, as in most turns of a quiet stream. */
export async function saveProgress(tx: Tx, before: Progress, after: Progress): Promise<void> {
  const keys = Object.keys(before) as (keyof Progress)[];
  if (keys.every((key) => before[key] === after[key])) return;
  await tx.query(
    `update travelers.progress
     set folded_to = $1, final_to = $2, minutes_to = $3, hours_to = $4, seconds_from = $5,
         minutes_from = $6, visit_timeout = $7`,
    [
      after.foldedTo,
      after.finalTo,
      after.minutesTo,
      after.hoursTo,
      after.secondsFrom,
      after.minutesFrom,
      after.visitTimeout,
    ],
  );
}
