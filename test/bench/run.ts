/**
 * `npm run bench`: events a second that are committed and answered, by Muster and by simpler stores on
 * the same PostgreSQL (fsync on), in one run. All contenders are measured in turn, round after round,
 * and compared by their medians: on a shared machine only ratios within a run mean anything.
 *
 * Every cell counts what is stored afterwards and fails the bench if that is not what was answered.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../dev/postgres/postgres.ts';
import { Fighter, type Cell, type Measured } from './arena.ts';
import type { Contender } from './contender.ts';
import { aims, describeMachine, fastest, table } from './report.ts';
import { runSections, sectionNames } from './sections.ts';
import type { Workload } from './workload.ts';

const { values: options } = parseArgs({
  options: {
    json: { type: 'string' },
    quick: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    rounds: { type: 'string' },
    'in-flight': { type: 'string', multiple: true },
    only: { type: 'string', multiple: true },
  },
});
/** `--only http,jobs` is `--only http --only jobs`; sections.test.ts sees to the sections' quick runs. */
const parts = ['http', 'process', 'features', ...(options.quick ? [] : sectionNames)];
const only = options.only?.flatMap((each) => each.split(',')) ?? parts;
const seconds = Number(options.seconds ?? (options.quick ? 0.1 : 2));
const warmUp = options.quick ? seconds : 4;
const rounds = Number(options.rounds ?? (options.quick ? 1 : 3));
const asked = options['in-flight']?.map(Number);
const IN_FLIGHT = asked ?? (options.quick ? [16] : [1, 16, 64, 99, 256]);
const ROADS = {
  http: 'Through HTTP: posted, committed, answered',
  process: 'In process: called, committed, resolved',
};
const FEATURES_IN_FLIGHT = asked ?? (options.quick ? [16] : [256]);

/** Pairs, as functions/recordings.ts has them: the dearest sets, half a set and half a run per event. */
const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };

/** A disk that is one: the temporary folder may be memory. */
const folder = options.quick
  ? mkdtempSync(join(tmpdir(), 'muster-bench-'))
  : join(import.meta.dirname, '../../.muster/bench');
const postgres = await startPostgres({
  folder,
  fresh: true,
  settings: { shared_buffers: '512MB', max_wal_size: '4GB', max_connections: '400' },
});
try {
  const machine = await describeMachine(postgres);
  print(Object.values(machine).join('\n'));
  const connections = {
    transaction: await tune('transaction', [8, 16, 32, 64]),
    statement: await tune('statement', [4, 8, 16, 32]),
  };
  const measured: Record<string, Measured[]> = {};
  for (const road of ['http', 'process'] as const) {
    if (!only.includes(road)) continue;
    const stores = ['muster', 'paused', 'transaction', 'statement'] as const;
    const contenders = [...stores, ...(road === 'process' ? (['floor'] as const) : [])].map(
      (store): Contender => ({
        name: `${store} ${road}`,
        store,
        road,
        workload: PAIRS,
        ...((store === 'transaction' || store === 'statement') && {
          connections: connections[store],
        }),
      }),
    );
    measured[road] = await compete(contenders, IN_FLIGHT);
    print(table(ROADS[road], measured[road]));
  }
  if (only.includes('features')) {
    measured['features'] = await compete(features(), FEATURES_IN_FLIGHT);
    print(table('What each feature costs, in process', measured['features']));
  }
  const verdicts = options.quick || asked !== undefined ? [] : aims(measured);
  if (verdicts.length > 0) print(`\n${verdicts.map(({ text }) => text).join('\n')}`);
  const sections = await runSections(only, {
    postgres,
    quick: options.quick,
    folder: postgres.folder,
    say: print,
  });
  if (options.json !== undefined) {
    const result = { machine, seconds, rounds, connections, measured, aims: verdicts, sections };
    writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
  }
} finally {
  await postgres.stop();
  for (const left of new Set([folder, postgres.folder])) {
    rmSync(left, { recursive: true, force: true });
  }
}

/** Muster and what it would be without this or that, in process, handlers paused. */
function features(): Contender[] {
  return [
    variant('everything', 'paused'),
    variant('and handlers run', 'muster'),
    variant('without deadlines', 'paused', { deadlines: false }),
    variant('without births of runs', 'paused', { completes: false }),
    variant('without versions and tombstones', 'unversioned'),
    variant('20 rows to a set', 'paused', { rowsPerSet: 20 }),
    variant('bare inserts, with a primary key', 'keyed'),
    variant('bare inserts, without any key', 'floor'),
  ];
}

function variant(
  name: string,
  store: Contender['store'],
  change: Partial<Workload> = {},
): Contender {
  return { name, store, road: 'process', workload: { ...PAIRS, ...change } };
}

/** Measures all contenders in turn, as often as there are rounds. */
async function compete(
  contenders: readonly Contender[],
  inFlight: readonly number[],
): Promise<Measured[]> {
  const fighters: Fighter[] = [];
  try {
    for (const contender of contenders) fighters.push(await Fighter.enter(contender, postgres));
    return await takeTurns(fighters, inFlight);
  } finally {
    for (const fighter of fighters) await fighter.leave();
  }
}

async function takeTurns(
  fighters: readonly Fighter[],
  inFlight: readonly number[],
): Promise<Measured[]> {
  // What is measured is compiled code: a server's CPU per event still falls by a third after a second.
  for (const fighter of fighters) await fighter.measure(inFlight.at(-1)!, warmUp);
  const measured = fighters.map(({ contender }) => ({ contender, cells: [] as Cell[] }));
  for (let round = 0; round < rounds; round++) {
    for (const at of inFlight) {
      for (const [i, fighter] of fighters.entries()) {
        measured[i]!.cells.push(await fighter.measure(at, seconds));
      }
    }
  }
  return measured;
}

/** The number of connections with which a baseline does best, so that it loses to no bad setting. */
async function tune(
  store: 'transaction' | 'statement',
  candidates: readonly number[],
): Promise<number> {
  if (options.quick || !only.some((road) => road in ROADS)) return candidates[0]!;
  const contenders = candidates.map((connections) => ({
    name: `${store} on ${connections}`,
    store,
    road: 'process' as const,
    workload: PAIRS,
    connections,
  }));
  const measured = await compete(contenders, [99]);
  const best = fastest(measured);
  print(`${best.name} connections, the best of ${candidates.join(', ')}`);
  return best.connections!;
}

function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
