/**
 * One contender of the bench in a separate process, controlled over IPC. Each therefore has its own heap
 * and compiled code, and its CPU time can be measured separately.
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

/** The description of a contender. */
export interface Contender {
  readonly name: string;
  /**
   * `muster`: everything including handlers; `paused`: with paused handlers, so that complete sets only wait
   * for them; `unversioned`: the same without versions; otherwise a baseline, which also runs no handlers.
   */
  readonly store: 'muster' | 'paused' | 'unversioned' | Baseline;
  /** Calls within the process, or HTTP requests. */
  readonly transport: 'process' | 'http';
  readonly workload: Workload;
  /** The number of connections that write; two by default. */
  readonly connections?: number;
  /** Environment of its process, in addition to the bench's. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether its requests come with a `traceparent`, and of which kind. */
  readonly traceparent?: 'sampled' | 'unsampled';
}

export interface Start extends Contender {
  readonly url: string;
  readonly port: number;
}

/** The parent's request: events from number `from` on. */
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

/** The loops that look for work use their longest interval, so that an idle contender costs the measured one nothing. */
const QUIET = { CLAIM_SECONDS: '60', LEASE_SECONDS: '600', LOG_LEVEL: 'error', CONCURRENCY: '256' };

const start = JSON.parse(process.argv[2]!) as Start;
const opened = await open(start);
process.on('message', (order: Order) => void obey(order));
process.once('disconnect', () => process.exit(1)); // the bench has exited
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
  /** Null if it can only be reached by requests. */
  readonly intake: Intake | null;
  stop(): Promise<void>;
}

async function open({
  store,
  transport,
  url,
  port,
  workload,
  connections = 2,
}: Start): Promise<Opened> {
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
      if (transport === 'http') return served(serve(config(), definitions), port);
      const engine = await startEngine(config(), definitions, log, createMetrics());
      return { intake: engine.ingestor, stop: () => engine.stop() };
    }
    case 'transaction':
    case 'statement':
    case 'keyed':
    case 'floor': {
      const baseline = openBaseline(store, url, connections);
      if (transport === 'http') await listen(baseline, port);
      return { intake: baseline, stop: () => baseline.stop() };
    }
  }
}

/** Muster's own main, which stops at SIGTERM itself. */
async function served(ended: Promise<void>, port: number): Promise<Opened> {
  const ready = () => fetch(`http://127.0.0.1:${port}/health/readiness`).catch(() => null);
  while ((await ready())?.ok !== true);
  return { intake: null, stop: () => ended };
}

/** Muster's HTTP edge on another store. */
async function listen(over: Intake, port: number): Promise<void> {
  const metrics = createMetrics();
  const count: Count = (name, labels) =>
    (metrics[name] as { inc(labels: object): void }).inc(labels);
  const app = createApp({ count, logger: pino({ level: 'error' }) });
  registerIntake(app, over, { count });
  await app.listen({ host: '127.0.0.1', port });
}
