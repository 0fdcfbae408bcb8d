/**
 * One contender of the bench in a process of its own, told over IPC what to do. So each has its own
 * heap and compiled code, and its CPU time is told apart.
 */
import { pino } from 'pino';
import { readConfig } from '../../src/config/config.ts';
import { startEngine } from '../../src/process/engine.ts';
import type { Log } from '../../src/function.ts';
import { createApp } from '../../src/intake/http/app.ts';
import { registerIntake } from '../../src/intake/http/routes.ts';
import type { Intake } from '../../src/intake/ingest.ts';
import type { Count } from '../../src/intake/http-error.ts';
import { serve } from '../../src/process/serve.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { openBaseline, type Baseline } from './baselines.ts';
import { callers, type Seen } from './load.ts';
import { forgetVersions } from './unversioned.ts';
import { changeOf, definitionOf, type Workload } from './workload.ts';

/** What a contender is. */
export interface Contender {
  readonly name: string;
  /**
   * `muster`: everything, handlers too; `paused`: handlers paused, so that complete sets only wait for
   * them; `unversioned`: that, without versions; else a baseline, which runs no handlers either.
   */
  readonly store: 'muster' | 'paused' | 'unversioned' | Baseline;
  /** Calls from within the process, or requests. */
  readonly road: 'process' | 'http';
  readonly workload: Workload;
  /** Those that write, two unless given. */
  readonly connections?: number;
  /** Of its process, beside what the bench sets. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether its requests come with a `traceparent`, and of which kind. */
  readonly traceparent?: 'sampled' | 'unsampled';
}

export interface Start extends Contender {
  readonly url: string;
  readonly port: number;
}

/** What the parent asks for: events from number `from` on. */
export interface Order {
  readonly inFlight: number;
  readonly seconds: number;
  readonly from: number;
}

export type Answer = { readonly ready: true } | { readonly seen: Seen };

const log: Log = {
  info() {},
  warn() {},
  error: (fields, message) => console.error(message, fields),
};

/** Loops that look for work rest as long as they may: who is not measured takes nothing from who is. */
const QUIET = { CLAIM_SECONDS: '60', LEASE_SECONDS: '600', LOG_LEVEL: 'error', CONCURRENCY: '256' };

const start = JSON.parse(process.argv[2]!) as Start;
const opened = await open(start);
process.on('message', (order: Order) => void obey(order));
process.once('disconnect', () => process.exit(1)); // the bench is gone
process.once('SIGTERM', () => void opened.stop().then(() => process.exit(0)));
answer({ ready: true });

async function obey({ inFlight, seconds, from }: Order): Promise<void> {
  const seen = await callers(inFlight, seconds, from, async (n) => {
    await opened.intake!.ingest(changeOf(n, start.workload));
  });
  answer({ seen });
}

function answer(message: Answer): void {
  process.send!(message);
}

interface Opened {
  /** Null where it can be reached by requests only. */
  readonly intake: Intake | null;
  stop(): Promise<void>;
}

async function open({ store, road, url, port, workload, connections = 2 }: Start): Promise<Opened> {
  const config = () =>
    readConfig({
      ...QUIET,
      DATABASE_URL: url,
      HOST: '127.0.0.1',
      PORT: String(port),
      WRITERS: String(connections),
    });
  const definitions = [definitionOf(workload)];
  if (store === 'unversioned') forgetVersions();
  switch (store) {
    case 'muster':
    case 'paused':
    case 'unversioned': {
      if (road === 'http') return served(serve(config(), definitions), port);
      const engine = await startEngine(config(), definitions, log, createMetrics());
      return { intake: engine.ingestor, stop: () => engine.stop() };
    }
    case 'transaction':
    case 'statement':
    case 'keyed':
    case 'floor': {
      const baseline = openBaseline(store, url, connections);
      if (road === 'http') await listen(baseline, port);
      return { intake: baseline, stop: () => baseline.stop() };
    }
  }
}

/** Muster's own main, which has its own way to stop at SIGTERM. */
async function served(ended: Promise<void>, port: number): Promise<Opened> {
  const ready = () => fetch(`http://127.0.0.1:${port}/health/readiness`).catch(() => null);
  while ((await ready())?.ok !== true);
  return { intake: null, stop: () => ended };
}

/** Muster's HTTP edge over another store. */
async function listen(over: Intake, port: number): Promise<void> {
  const metrics = createMetrics();
  const count: Count = (name, labels) =>
    (metrics[name] as { inc(labels: object): void }).inc(labels);
  const app = createApp({ count, logger: pino({ level: 'error' }) });
  registerIntake(app, over, { count });
  await app.listen({ host: '127.0.0.1', port });
}
