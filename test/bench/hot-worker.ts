/** One of the processes of hot.ts: ingests events of the same few sets as all the others. */
import { readConfig } from '../../src/config/config.ts';
import { startEngine } from '../../src/process/engine.ts';
import { all, defineFunction, type Log } from '../../src/function.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import type { RowChange } from '../../src/state/change.ts';
import { openBaseline } from './baselines.ts';
import { callers } from './load.ts';
import { obey } from './section.ts';

export interface HotStart {
  readonly url: string;
  readonly store: 'muster' | 'statement';
  /** 0, 1, …: each process sends its own rows. */
  readonly process: number;
  readonly hotSets: number;
  readonly connections: number;
}

export interface HotOrder {
  readonly inFlight: number;
  readonly seconds: number;
  /** The number of the first event of this process. */
  readonly from: number;
}

const start = JSON.parse(process.argv[2]!) as HotStart;
const log: Log = { info() {}, warn() {}, error: (fields, text) => console.error(text, fields) };
const TABLE = { table: 'datastore.signal', key: 'recording' } as const;
/** A set that is never complete: only its row is hot, and no run is created. */
const definition = defineFunction({
  name: 'hot',
  parts: {
    eeg: { ...TABLE, where: { sensor_type: 'eeg' } },
    never: { ...TABLE, where: { sensor_type: 'never' } },
  },
  complete: all('eeg', 'never'),
  handle() {},
});

const ORIGIN = { attributes: {}, contentType: null, body: new Uint8Array(300) };

/** Returns row `n` of this process, in the hot sets in turn. */
function changeOf(n: number): RowChange {
  const id = `${start.process}-${n}`;
  const recording = `hot-${n % start.hotSets}`;
  return {
    kind: 'row',
    op: 'c',
    source: 'bench',
    stream: 'datastore.signal',
    lsn: BigInt(8 * (n + 1)),
    at: Date.now(),
    handledAt: Date.now(),
    lastCommit: null,
    snapshot: null,
    row: { id, recording, span: '', sensor_type: 'eeg' },
    origin: ORIGIN,
  };
}

async function open(): Promise<{ ingest(change: RowChange): Promise<unknown> }> {
  if (start.store === 'statement') return openBaseline('statement', start.url, start.connections);
  const quiet = { CLAIM_SECONDS: '60', LEASE_SECONDS: '600' };
  const config = readConfig({ ...quiet, DATABASE_URL: start.url });
  const engine = await startEngine(config, [definition], log, createMetrics());
  return engine.ingestor;
}

const intake = await open();
obey<HotOrder>(({ inFlight, seconds, from }) =>
  callers(inFlight, seconds, from, async (n) => {
    await intake.ingest(changeOf(n));
  }),
);
