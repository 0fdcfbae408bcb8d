/** The engine of one cell of growth.ts, which ingests events from within the process. */
import { readConfig } from '../../src/config/config.ts';
import { startEngine } from '../../src/process/engine.ts';
import type { Log } from '../../src/function.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { callers, pacedCallers } from './load.ts';
import { obey } from './section.ts';
import { changeOf, definitionOf, type Workload } from './workload.ts';

export interface GrowthStart {
  readonly url: string;
  readonly workload: Workload;
}

export interface GrowthOrder {
  readonly inFlight: number;
  readonly seconds: number;
  readonly from: number;
  /** Events per second; null = as fast as possible. */
  readonly rate?: number | null;
}

const { url, workload } = JSON.parse(process.argv[2]!) as GrowthStart;
const log: Log = { info() {}, warn() {}, error: (fields, text) => console.error(text, fields) };
const quiet = { CLAIM_SECONDS: '60', LEASE_SECONDS: '600', CONCURRENCY: '256' };
const config = readConfig({ ...quiet, DATABASE_URL: url });
const engine = await startEngine(config, [definitionOf(workload)], log, createMetrics());
const call = async (n: number) => {
  await engine.ingestor.ingest(changeOf(n, workload));
};
obey<GrowthOrder>(({ inFlight, seconds, from, rate = null }) =>
  rate === null
    ? callers(inFlight, seconds, from, call)
    : pacedCallers(inFlight, seconds, from, rate, call),
);
