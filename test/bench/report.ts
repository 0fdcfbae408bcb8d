import { spawnSync } from 'node:child_process';
import { cpus, loadavg, release, totalmem } from 'node:os';
import pg from 'pg';
import type { Postgres } from '../../src/local/postgres/postgres.ts';
import type { Cell, Measured } from './arena.ts';
import type { Contender } from './contender.ts';

/** Describes where, when and of which version the numbers were measured. */
export async function describeMachine(postgres: Postgres): Promise<Record<string, string>> {
  const client = new pg.Client(postgres.url);
  await client.connect();
  const { rows } = await client.query<{ about: string }>(
    `select concat('PostgreSQL ', current_setting('server_version'), ', ', string_agg(name || '=' || current_setting(name), ' ')) as about
     from unnest('{fsync,synchronous_commit,shared_buffers,max_wal_size}'::text[]) as name`,
  );
  await client.end();
  const changed =
    git('status', '--porcelain', '--', '../../src') === '' ? '' : ', src changed since';
  const [core] = cpus();
  return {
    machine: `${cpus().length} × ${core?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform} ${release()}, load ${loadavg()[0]!.toFixed(1)}`,
    postgres: rows[0]!.about,
    node: `Node ${process.version}`,
    commit: `commit ${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed}`,
    at: new Date().toISOString(),
  };
}

function git(...args: string[]): string {
  return (
    spawnSync('git', args, { cwd: import.meta.dirname, encoding: 'utf8' }).stdout?.trim() ?? ''
  );
}

/** One line per contender and number in flight, compared with the first contender and with each baseline. */
export function table(title: string, measured: readonly Measured[]): string {
  const rounds = measured[0]!.cells.filter(
    ({ inFlight }) => inFlight === measured[0]!.cells[0]!.inFlight,
  );
  const baselines = measured.filter(({ contender }) => !isMuster(contender));
  const head = [
    'in flight',
    'store',
    'events/s',
    'p50 ms',
    'p99 ms',
    'CPU µs/event: Node',
    'PostgreSQL',
    ...baselines.map(({ contender }) => `× ${short(contender)}`),
    `× ${short(measured[0]!.contender)}`,
  ];
  const rows = inFlights(measured).flatMap((inFlight) =>
    measured.map((each) => {
      const cell = median(each, inFlight);
      const ratios = [...baselines, measured[0]!].map((other) => ratio(each, other, inFlight));
      return [
        String(inFlight),
        short(each.contender),
        Math.round(rate(cell)).toLocaleString('en'),
        cell.p50Ms.toFixed(1),
        cell.p99Ms.toFixed(1),
        cell.nodeUs.toFixed(0),
        cell.postgresUs.toFixed(0),
        ...ratios.map((times) => times.toFixed(2)),
      ];
    }),
  );
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((text, i) => (i === 1 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
      .join('  ');
  const title2 = `${title}; medians of ${rounds.length} rounds`;
  return ['', title2, line(head), ...rows.map(line)].join('\n');
}

/** Returns the contender with the most answers. */
export function fastest(measured: readonly Measured[]): Contender {
  const [inFlight] = inFlights(measured);
  return measured.toSorted((a, b) => ratio(b, a, inFlight!) - 1)[0]!.contender;
}

export interface Aim {
  readonly text: string;
  readonly ratio: number;
  readonly target: number;
  readonly met: boolean;
}

const AIMS = [
  { transport: 'http', inFlight: 99, baseline: 'transaction', target: 5 },
  { transport: 'http', inFlight: 99, baseline: 'statement', target: 2.5 },
  { transport: 'process', inFlight: 256, baseline: 'floor', target: 0.4 },
] as const;

/**
 * Compares the results with the aims, for Muster with paused handlers, because the baselines run none.
 */
export function aims(measured: Readonly<Record<string, readonly Measured[]>>): Aim[] {
  return AIMS.flatMap(({ transport, inFlight, baseline, target }) => {
    const find = (store: Contender['store']) =>
      measured[transport]?.find(({ contender }) => contender.store === store);
    const [muster, running, other] = [find('paused'), find('muster'), find(baseline)];
    if (muster === undefined || running === undefined || other === undefined) return [];
    const reached = ratio(muster, other, inFlight);
    const met = reached >= target;
    const text = `${transport}, ${inFlight} in flight: ${reached.toFixed(2)} × ${baseline} (with handlers ${ratio(running, other, inFlight).toFixed(2)}); aim ${target}, ${met ? 'met' : 'missed'}`;
    return { text, ratio: reached, target, met };
  });
}

const NAMES: Partial<Record<Contender['store'], string>> = {
  muster: 'Muster',
  paused: 'Muster, handlers paused',
  transaction: 'transaction per event',
  statement: 'statement per event',
  floor: 'bare inserts',
};

/** Returns the short name of a store; features keep their own names. */
function short({ name, store, transport }: Contender): string {
  return name === `${store} ${transport}` ? (NAMES[store] ?? store) : name;
}

function isMuster({ store }: Contender): boolean {
  return store === 'muster' || store === 'paused' || store === 'unversioned';
}

function inFlights(measured: readonly Measured[]): number[] {
  return [...new Set(measured.flatMap(({ cells }) => cells.map(({ inFlight }) => inFlight)))];
}

function rate({ answered, seconds }: Cell): number {
  return answered / seconds;
}

export function ratio(a: Measured, b: Measured, inFlight: number): number {
  return rate(median(a, inFlight)) / rate(median(b, inFlight));
}

/** Takes the median of each figure separately; `answered` and `seconds` are those of the median rate. */
function median({ cells }: Measured, inFlight: number): Cell {
  const rounds = cells.filter((cell) => cell.inFlight === inFlight);
  const middle = (of: (cell: Cell) => number) =>
    rounds.toSorted((a, b) => of(a) - of(b))[(rounds.length - 1) >> 1]!;
  const rated = middle(rate);
  return {
    ...rated,
    p50Ms: middle((cell) => cell.p50Ms).p50Ms,
    p99Ms: middle((cell) => cell.p99Ms).p99Ms,
    nodeUs: middle((cell) => cell.nodeUs).nodeUs,
    postgresUs: middle((cell) => cell.postgresUs).postgresUs,
  };
}
