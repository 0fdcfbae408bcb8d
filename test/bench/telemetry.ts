/**
 * The cost of OpenTelemetry: events per second through HTTP, and cold starts, with a collector that just
 * accepts what it is sent, and without one. Sampling everything is the most expensive case: a span for
 * every event, batch and run, and its context in a column.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleAll } from '../../build/bundle.ts';
import { warmUp } from '../../src/build/warm-up.ts';
import { Fighter, type Cell, type Measured } from './arena.ts';
import type { Contender } from './contender.ts';
import { ratio, table } from './report.ts';
import {
  atLeast,
  atMost,
  createDatabase,
  grid,
  type SectionContext,
  type SectionResult,
  type Verdict,
} from './section.ts';
import { cached, cpuLimiter, labelOf, LIMITS, median, start, variant } from './start.ts';

const COLLECTOR = fileURLToPath(new URL('collector.ts', import.meta.url));
const IN_FLIGHT = 99;

export async function measureTelemetry(context: SectionContext): Promise<SectionResult> {
  const collector = fork(COLLECTOR, { execArgv: ['--disable-warning=ExperimentalWarning'] });
  try {
    const [{ port }] = (await once(collector, 'message')) as [{ port: number }];
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}` };
    const running = await measureRunning(context, env);
    const starting = await measureStarting(context, env);
    await checkTaken(collector);
    return {
      data: { running: running.data, starting: starting.data },
      verdicts: [...running.verdicts, ...starting.verdicts],
    };
  } finally {
    collector.disconnect();
  }
}

type Part = { readonly data: unknown; readonly verdicts: readonly Verdict[] };
type Env = Readonly<Record<string, string>>;

function contender(name: string, more: Partial<Contender>): Contender {
  return {
    name: `${name} telemetry`,
    store: 'muster',
    transport: 'http',
    workload: { rowsPerSet: 2, deadlines: true, completes: true },
    ...more,
  };
}

async function measureRunning(context: SectionContext, env: Env): Promise<Part> {
  const { postgres, quick, say } = context;
  const seconds = quick ? 0.1 : 2;
  const contenders = [
    contender('no', { traceparent: 'sampled' }),
    contender('every event sampled,', { env, traceparent: 'sampled' }),
    contender('no event sampled,', { env, traceparent: 'unsampled' }),
    contender('one of a hundred sampled,', {
      env: {
        ...env,
        OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
        OTEL_TRACES_SAMPLER_ARG: '0.01',
      },
    }),
  ];
  const fighters: Fighter[] = [];
  try {
    for (const each of contenders) fighters.push(await Fighter.enter(each, postgres));
    for (const each of fighters) await each.measure(IN_FLIGHT, quick ? seconds : 4);
    const measured: (Measured & { cells: Cell[] })[] = contenders.map((each) => ({
      contender: each,
      cells: [],
    }));
    for (let round = 0; round < (quick ? 1 : 5); round++) {
      for (const [i, each] of fighters.entries()) {
        measured[i]!.cells.push(await each.measure(IN_FLIGHT, seconds));
      }
    }
    say(table('Through HTTP, with a handler run for every second event', measured));
    const verdicts = measured
      .slice(1)
      .map((each) =>
        atLeast(
          `events/s, ${each.contender.name}, × without`,
          ratio(each, measured[0]!, IN_FLIGHT),
          0.8,
        ),
      );
    return { data: measured, verdicts };
  } finally {
    for (const each of fighters) await each.leave();
  }
}

async function measureStarting(context: SectionContext, env: Env): Promise<Part> {
  const { postgres, folder, quick, say } = context;
  const rounds = quick ? 1 : 9;
  const database = await createDatabase(postgres, 'cold_telemetry');
  const dist = join(folder, 'telemetry-dist');
  await bundleAll(dist);
  await warmUp(dist, join(dist, 'cache'));
  const command = [join(dist, 'muster.js'), 'serve'];
  const serve = {
    DATABASE_URL: database.url,
    FUNCTIONS: 'recordings',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
    ...cached(join(dist, 'cache')),
  };
  const variants = [
    variant('no telemetry', command, serve),
    variant('telemetry', command, { ...serve, ...env }),
  ] as const;
  const limited = cpuLimiter();
  const limits = LIMITS.filter((limit) => limit === null || limited !== null);
  try {
    for (let round = -1; round < rounds; round++) {
      for (const limit of limits) {
        for (const each of variants) {
          const ms = await start(each, limit, limited);
          if (round < 0) continue; // fills the page cache, registers functions
          const times = each.times.get(labelOf(limit)) ?? [];
          each.times.set(labelOf(limit), [...times, ms]);
        }
      }
    }
  } finally {
    limited?.remove();
    await database.drop();
  }
  const labels = limits.map(labelOf);
  const times = (label: string) => median(variants[1], label) / median(variants[0], label);
  const rows = variants.map((each) => [
    each.name,
    ...labels.map((label) => median(each, label).toFixed(0)),
  ]);
  const head = ['started', ...labels.map((label) => `${label}: ms`)];
  say(grid(`Cold start of the bundle; medians of ${rounds}`, head, rows));
  return {
    data: variants.map((each) => ({ name: each.name, ms: Object.fromEntries(each.times) })),
    verdicts: labels.map((label) =>
      atMost(`cold start with telemetry, ${label}, × without`, times(label), 1.3),
    ),
  };
}

/** Checks that the collector received something; otherwise it would cost nothing. */
async function checkTaken(collector: ChildProcess): Promise<void> {
  const answer = once(collector, 'message');
  collector.send('how many?');
  const [taken] = (await answer) as [Record<string, number>];
  for (const path of ['/v1/traces', '/v1/metrics']) {
    if (!((taken[path] ?? 0) > 0)) throw new Error(`the collector received nothing at ${path}`);
  }
}
