/**
 * One of four processes that change the same few sets at the same time, for stress.ts: rows arrive, move between
 * sets and are deleted, so that sets become complete, incomplete and complete again while their runs start.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../src/config/config.ts';
import { defineFunction, type FunctionDefinition, type Log } from '../../src/function.ts';
import { startEngine } from '../../src/process/engine.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import type { RowChange } from '../../src/state/change.ts';
import { obey } from './section.ts';

export interface StressStart {
  readonly url: string;
  /** Number of this process, from 0, and of all processes. */
  readonly index: number;
  readonly processes: number;
  /** Epoch ms from which all processes count. */
  readonly start: number;
}

export type StressOrder =
  | { readonly kind: 'change'; readonly seconds: number }
  /** Brings both rows of each of these sets. */
  | { readonly kind: 'complete'; readonly windows: number };

const { url, index, processes, start } = JSON.parse(process.argv[2]!) as StressStart;
/** Milliseconds for which the same sets are hot, and their number. */
const WINDOW_MS = 50;
const HOT = 8;
const IN_FLIGHT = 64;

const definition = defineFunction({
  name: 'stress',
  parts: {
    a: { table: 'public.item', key: 'k', where: { kind: 'a' } },
    b: { table: 'public.item', key: 'k', where: { kind: 'b' } },
  },
  overdueAfter: '1 hour',
  async handle(set, { tx }) {
    await tx.query('insert into effect (key, revision) values ($1, $2)', [
      set.keyText,
      set.revision,
    ]);
    if (Math.random() < 0.02) await sleep(20);
  },
}) as FunctionDefinition;
const log: Log = { info() {}, warn() {}, error: (fields, text) => console.error(text, fields) };
const config = readConfig({ DATABASE_URL: url, CONCURRENCY: '16', LEASE_SECONDS: '10' });
const engine = await startEngine(config, [definition], log, createMetrics());

let sequence = 0;

/** No two changes of all processes have the same position. */
function changeOf(op: 'u' | 'd', set: string, kind: string, id = `${set}-${kind}`): RowChange {
  const lsn = (Date.now() - start + 1) * 65_536 + ((sequence++ * processes + index) % 65_536);
  const row = { id, k: set, kind };
  return {
    kind: 'row',
    op,
    source: 'stress',
    stream: 'public.item',
    lsn: BigInt(lsn),
    at: Date.now(),
    handledAt: Date.now(),
    lastCommit: null,
    snapshot: null,
    row,
    origin: {
      attributes: { source: '/stress', id: String(lsn) },
      contentType: null,
      body: Buffer.from(JSON.stringify({ op, lsn, row })),
    },
  };
}

function next(): RowChange {
  const window = Math.floor((Date.now() - start) / WINDOW_MS);
  const set = `${window} ${Math.floor(Math.random() * HOT)}`;
  const kind = Math.random() < 0.5 ? 'a' : 'b';
  const dice = Math.random();
  if (dice < 0.2) return changeOf('d', set, kind);
  // a row that moves to another of the hot sets
  const other = `${window} ${Math.floor(Math.random() * HOT)}-${kind}`;
  return dice < 0.3 ? changeOf('u', set, kind, other) : changeOf('u', set, kind);
}

obey<StressOrder>(async (order) => {
  let sent = 0;
  if (order.kind === 'change') {
    const end = performance.now() + order.seconds * 1000;
    const loop = async () => {
      while (performance.now() < end) {
        await engine.ingestor.ingest(next());
        sent++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
  } else {
    for (let window = index; window <= order.windows; window += processes) {
      const sets = Array.from({ length: HOT }, (_, i) => `${window} ${i}`);
      await Promise.all(
        sets.flatMap((set) =>
          ['a', 'b'].map((kind) => engine.ingestor.ingest(changeOf('u', set, kind))),
        ),
      );
      sent += 2 * HOT;
    }
  }
  return { sent };
});
