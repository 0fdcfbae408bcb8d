import { metrics } from '../../functions/travelers/query/metrics.ts';
import { readSample, TYPES, type Sample } from '../../functions/travelers/ingest/sample.ts';
import { stage } from '../../functions/travelers/ingest/stage.ts';
import { StagedSamples } from '../../functions/travelers/fold/staged.ts';
import { timestampsIn } from '../../functions/travelers/ingest/timestamp.ts';
import type { Tx } from '../../src/function.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { createDatabase, grid, medianOf, same, whole, type SectionContext } from './section.ts';
import { Records } from './travelers-records.ts';

/** The number of samples younger than the lateness bound of 5 s at 58,000 per second. */
const STAGED = 290_000;
const CHUNK = 5_000;

interface LiveTimes {
  /** Milliseconds of the first query, and of a repeated one. */
  readonly firstMs: number;
  readonly againMs: number;
}

/** The last minute by second: staged samples are folded for the answer. */
export async function measureLive({ postgres, quick, say }: SectionContext): Promise<LiveTimes> {
  const count = quick ? STAGED / 10 : STAGED;
  const db = await createDatabase(postgres, 'travelers_live');
  try {
    await migrate(db.url, ['travelers']);
    const tx = db.client as unknown as Tx;
    const newest = await stageAll(tx, await Records.make(count));
    const to = Math.ceil(newest / 1e6) * 1000;
    const query = {
      sensors: 'all' as const,
      types: TYPES,
      from: to - 60_000,
      to,
      stepMs: 1_000,
      windowMs: 1_000,
      groupBy: { sensor: false, type: true },
    };
    const staged = new StagedSamples();
    const ask = async () => {
      const began = performance.now();
      const { steps } = await metrics(tx, query, staged);
      const provisional = steps.filter(({ final }) => !final).length;
      same('travelers, provisional seconds', provisional, 60);
      return performance.now() - began;
    };
    const firstMs = await ask();
    const again: number[] = [];
    for (let n = 0; n < (quick ? 1 : 7); n++) again.push(await ask());
    const againMs = medianOf(again);
    const title = `Travelers: the last minute by second, ${whole(count)} samples staged`;
    say(grid(title, ['', 'first ms', 'again ms'], [['', firstMs.toFixed(0), againMs.toFixed(0)]]));
    return { firstMs, againMs };
  } finally {
    await db.drop();
  }
}

/** Returns the time of the newest sample, in µs. */
async function stageAll(tx: Tx, records: Records): Promise<number> {
  const readTime = timestampsIn('UTC');
  let newest = 0;
  for (let begin = 0; begin < records.count; begin += CHUNK) {
    const samples: Sample[] = [];
    for (let n = begin; n < Math.min(begin + CHUNK, records.count); n++) {
      samples.push(readSample(records.at(n), readTime));
    }
    const chunk = { topic: 'movements', partition: 0, from: begin, next: begin, end: begin };
    await stage(tx, samples, chunk, { lateness: 5e6, aheadAtMost: 60e6 });
    newest = samples.reduce((most, { at }) => Math.max(most, at), newest);
  }
  return newest;
}
