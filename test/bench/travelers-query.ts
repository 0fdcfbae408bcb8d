import { write, type Bucket } from '../../functions/travelers/fold/buckets.ts';
import { fold } from '../../functions/travelers/fold/fold.ts';
import { metrics } from '../../functions/travelers/query/metrics.ts';
import { type MetricsQuery } from '../../functions/travelers/query/types.ts';
import { readSample, TYPES } from '../../functions/travelers/ingest/sample.ts';
import { Samples } from '../../functions/travelers/fold/samples.ts';
import { Tallies } from '../../functions/travelers/fold/tallies.ts';
import { timestampsIn } from '../../functions/travelers/ingest/timestamp.ts';
import type { Tx } from '../../src/function.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { simulate } from '../../dev/sensors/simulation.ts';
import {
  attach,
  createDatabase,
  grid,
  medianOf,
  same,
  type BenchDatabase,
  type SectionContext,
} from './section.ts';

const DAY = 86_400_000;
const MINUTE = 60_000;
const BEGIN = Date.UTC(2026, 0, 1);

interface Times {
  readonly question: string;
  /** Milliseconds on a new connection, and again. */
  readonly firstMs: number;
  readonly againMs: number;
}

/** A day in steps of a minute, all of it final. */
export async function measureQueries(context: SectionContext): Promise<Times[]> {
  const { postgres, quick, say } = context;
  const minutes = quick ? 60 : 1440;
  const sensors = quick ? 10 : 100; // of 100, a minute has two million samples
  const db = await createDatabase(postgres, 'travelers_query');
  try {
    await migrate(db.url, ['travelers']);
    await fill(db, sensors, minutes);
    const day: MetricsQuery = {
      sensors: 'all',
      types: TYPES,
      from: BEGIN,
      to: BEGIN + minutes * MINUTE,
      stepMs: MINUTE,
      windowMs: MINUTE,
      groupBy: { sensor: false, type: true },
    };
    const ten = Array.from({ length: 10 }, (_, sensor) => sensor);
    const questions: readonly (readonly [string, MetricsQuery])[] = [
      [`the sum of ${sensors} sensors, by type`, day],
      ['one sensor, by type', { ...day, sensors: [7] }],
      ['the sum of 10 sensors', { ...day, sensors: ten, groupBy: { sensor: false, type: false } }],
      [`each of ${sensors} sensors`, { ...day, groupBy: { sensor: true, type: false } }],
    ];
    const times: Times[] = [];
    for (const [question, query] of questions) times.push(await timeOf(context, question, query));
    const rows = times.map(({ question, firstMs, againMs }) => [
      question,
      firstMs.toFixed(0),
      againMs.toFixed(0),
    ]);
    const head = ['question', 'first ms', 'again ms'];
    say(grid(`Travelers: ${minutes} minutes in steps of a minute`, head, rows));
    return times;
  } finally {
    await db.drop();
  }
}

async function timeOf(
  { postgres, quick }: SectionContext,
  question: string,
  query: MetricsQuery,
): Promise<Times> {
  const db = await attach(postgres, 'travelers_query');
  const tx: Tx = {
    async query<R extends object>(text: string, values: readonly unknown[] = []) {
      const { rows, rowCount } = await db.client.query(text, [...values]);
      return { rows: rows as R[], rowCount };
    },
  };
  const once = async () => {
    const began = performance.now();
    const { steps } = await metrics(tx, query);
    const ms = performance.now() - began;
    const empty = steps.filter(({ final, series }) => !final || series.some((each) => !each.alive));
    same(`travelers, windows without numbers of ${question}`, empty.length, 0);
    return ms;
  };
  try {
    const firstMs = await once();
    const again: number[] = [];
    for (let n = 0; n < (quick ? 1 : 5); n++) again.push(await once());
    return { question, firstMs, againMs: medianOf(again) };
  } finally {
    await db.client.end();
  }
}

/** Repeats one simulated minute of all sensors. */
async function fill({ client }: BenchDatabase, sensors: number, minutes: number): Promise<void> {
  const tx = client as unknown as Tx;
  await write(tx, 60, await oneMinute(sensors));
  await client.query(
    `insert into travelers.bucket
     select seconds, sensor, start + n * interval '1 minute', type, at_start, entered, left_view, samples,
            path, moved, slowest, fastest, histogram
     from generate_series(1, $1 - 1) n, travelers.bucket order by n`,
    [minutes],
  );
  const end = (BEGIN + DAY) * 1000;
  await client.query(
    'update travelers.progress set folded_to = $1, final_to = $1, minutes_to = $1',
    [end],
  );
  await client.query(
    'insert into travelers.sensor select n, now(), now(), $2 from generate_series(0, $1 - 1) n',
    [sensors, Buffer.alloc(0)],
  );
  await client.query('vacuum (analyze) travelers.bucket');
}

async function oneMinute(sensors: number): Promise<Bucket[]> {
  const from = BEGIN * 1000;
  const street = { sensors, arrivals: 10, interval: [0.1, 0.2] as const, seed: 1, from };
  const post = { shuffle: 0, duplicates: 0, late: 0, lateBy: 1 };
  const time = { seconds: 60, speed: Infinity };
  const readTime = timestampsIn('UTC');
  const samples = [];
  const { signal } = new AbortController();
  for await (const batch of simulate({ ...street, ...post, ...time }, signal)) {
    for (const { value } of batch) samples.push(readSample(Buffer.from(value), readTime));
  }
  const { tallies } = fold(Samples.of([]), Samples.of(samples), Infinity, 10e6);
  tallies.sumSensors();
  const minute = new Tallies();
  for (const { sensor, type, tally } of tallies.entries()) {
    minute.of(sensor, type).at(0).append(tally);
  }
  return [...minute.entries()].map(({ sensor, type, tally }) => ({
    sensor,
    type,
    start: from,
    tally,
  }));
}
