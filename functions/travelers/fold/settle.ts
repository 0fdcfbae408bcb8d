import type { SettleContext, Tx } from 'musterjs';
import { addStored, write, type Bucket } from './buckets.ts';
import { fold } from './fold.ts';
import { SECOND } from './length.ts';
import type { Options } from '../options.ts';
import { lockProgress, saveProgress, type Progress } from './progress.ts';
import { rollUp } from './roll-up.ts';
import { Samples } from './samples.ts';
import { readSensors, writeSensors } from './sensors.ts';
import { moveWatermark } from './watermark.ts';

/** Approximate maximum number of samples to fold in one turn: 14 MB. */
const MAX_SAMPLES = 300_000;

/**
 * Executes one turn: folds the staged samples up to the watermark, rolls up final seconds and minutes, removes old
 * ones, and moves the watermark for the next turn. Returns whether there is more to do immediately.
 */
export async function settle(tx: Tx, context: SettleContext, options: Options): Promise<boolean> {
  const progress = await lockProgress(tx);
  const to = await foldStaged(tx, progress, options);
  const finalTo = Math.max(progress.finalTo, to - options.visitTimeout);
  const rolled = await rollUp(tx, { ...progress, finalTo }, options);
  const { visitTimeout } = options;
  await saveProgress(tx, progress, { ...rolled.progress, foldedTo: to, visitTimeout });
  await moveWatermark(tx, context, options);
  return rolled.more || to < progress.watermark;
}

/** Folds the staged samples up to the watermark or to the limit of one turn; returns the time up to which it folded. */
async function foldStaged(tx: Tx, progress: Progress, { visitTimeout }: Options): Promise<number> {
  const { foldedTo, watermark } = progress;
  if (watermark <= foldedTo) return foldedTo;
  const to = await limit(tx, foldedTo, watermark);
  const { rows } = await tx.query<{ id: string; newest: number; data: Buffer }>(
    'select id, newest::float8 as newest, data from travelers.staged where oldest < $1',
    [to],
  );
  const parts = rows.map(({ data }) => Samples.unpack(data).between(foldedTo, to));
  const known = await readSensors(tx);
  const folded = fold(known.inView, Samples.concat(parts), to, visitTimeout);
  await writeSensors(tx, known, folded.inView, parts);
  folded.tallies.sumSensors();
  const buckets: Bucket[] = [...folded.tallies.entries()].map(({ second, ...each }) => ({
    ...each,
    start: second * SECOND,
  }));
  await addStored(tx, buckets);
  await write(tx, 1, buckets);
  await tx.query('delete from travelers.staged where id = any ($1)', [
    rows.filter(({ newest }) => newest < to).map(({ id }) => id),
  ]);
  return to;
}

/** Returns the time up to which to fold: after an outage, more may be staged than should be in memory at once. */
async function limit(tx: Tx, foldedTo: number, watermark: number): Promise<number> {
  const { rows } = await tx.query<{ to: number }>(
    `select coalesce(min(oldest), $2)::float8 as to
     from (select oldest, sum(samples) over (order by oldest, id) as sum
           from travelers.staged where oldest < $2) s
     where sum > $3 and oldest > $1`,
    [foldedTo, watermark, MAX_SAMPLES],
  );
  return rows[0]!.to;
}
