/**
 * What a forgotten session costs: half of the rate that this machine can ingest and run, while another session holds
 * a snapshot (`idle in transaction`), compared with the same without it. No dead row can be removed meanwhile.
 */
import pg from 'pg';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import type { GrowthOrder, GrowthStart } from './growth-worker.ts';
import type { Seen } from './load.ts';
import {
  atLeast,
  createDatabase,
  grid,
  whole,
  Worker,
  type SectionContext,
  type SectionResult,
} from './section.ts';
import type { Workload } from './workload.ts';

const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };
const IN_FLIGHT = 256;
const MINUTES = Number(process.env['BENCH_HELD_MINUTES'] ?? 30);

interface Slice {
  readonly what: string;
  readonly rate: number;
  readonly p99Ms: number;
  readonly nodeUs: number;
  readonly postgresUs: number;
}

export async function measureHeldSnapshot(context: SectionContext): Promise<SectionResult> {
  const { postgres, quick, say } = context;
  const db = await createDatabase(postgres, 'held');
  const start: GrowthStart = { url: db.url, workload: PAIRS };
  const worker = await Worker.start<GrowthOrder, Seen>('growth-worker.ts', start);
  const seconds = quick ? 1 : 60;
  let from = 0;
  const measure = async (what: string, rate: number | null, forSeconds: number): Promise<Slice> => {
    const cpu = () => [cpuOf(worker.pid), cpuOfPostgres(postgres.pid)] as const;
    const before = cpu();
    const seen = await worker.ask({ inFlight: IN_FLIGHT, seconds: forSeconds, from, rate });
    const after = cpu();
    from = Math.ceil((from + seen.answered) / 2_048) * 2_048;
    return {
      what,
      rate: seen.answered / seen.seconds,
      p99Ms: seen.p99Ms,
      nodeUs: (after[0] - before[0]) / seen.answered,
      postgresUs: (after[1] - before[1]) / seen.answered,
    };
  };
  const other = new pg.Client(db.url);
  try {
    await measure('warming up', null, quick ? 0.2 : 4);
    const ceiling = await measure('as fast as possible', null, quick ? 0.5 : 10);
    const half = ceiling.rate / 2;
    const without = await measure('half of that', half, seconds);
    await other.connect();
    await other.query('begin isolation level repeatable read');
    await other.query('select count(*) from muster.function');
    const slices: Slice[] = [];
    for (let minute = 1; minute <= (quick ? 1 : MINUTES); minute++) {
      slices.push(await measure(`with a snapshot held, minute ${minute}`, half, seconds));
    }
    const last = slices.at(-1)!;
    const some = slices.filter((_, i) => i === 0 || (i + 1) % 5 === 0 || i === slices.length - 1);
    say(
      grid(
        'A snapshot held by another session, with no-op handlers',
        ['', 'events/s', 'p99 ms', 'CPU µs/event: Node', 'PostgreSQL'],
        [ceiling, without, ...some].map((each) => [
          each.what,
          whole(each.rate),
          each.p99Ms.toFixed(1),
          each.nodeUs.toFixed(0),
          each.postgresUs.toFixed(0),
        ]),
      ),
    );
    const verdict = atLeast(
      `half of the ceiling, after ${slices.length} minutes with a snapshot held, × without`,
      last.rate / without.rate,
      0.95,
    );
    return { data: { ceiling, without, slices }, verdicts: [verdict] };
  } finally {
    await other.end();
    await worker.end();
    await db.drop();
  }
}
