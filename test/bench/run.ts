/**
 * `npm run bench`: events per second that are committed and answered, by Muster and by simpler stores on
 * the same PostgreSQL (fsync on), in one run. All contenders are measured in turn, round by round, and
 * compared by their medians: on a shared machine only ratios within a run are meaningful.
 *
 * Every cell counts the stored rows afterwards and fails the bench if they don't match the answers.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPostgres } from '../../src/local/postgres/postgres.ts';
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
/** `--only http,jobs` is `--only http --only jobs`; sections.test.ts runs the sections quickly. */
const parts = ['http', 'process', 'features', ...(options.quick ? [] : sectionNames)];
const only = options.only?.flatMap((each) => each.split(',')) ?? parts;
const seconds = Number(options.seconds ?? (options.quick ? 0.1 : 2));
const warmUp = options.quick ? seconds : 4;
const rounds = Number(options.rounds ?? (options.quick ? 1 : 3));
const chosenInFlight = options['in-flight']?.map(Number);
const IN_FLIGHT = chosenInFlight ?? (options.quick ? [16] : [1, 16, 64, 99, 256]);
const TRANSPORTS = {
  http: 'Through HTTP: posted, committed, answered',
  process: 'In process: called, committed, resolved',
};
const FEATURES_IN_FLIGHT = chosenInFlight ?? (options.quick ? [16] : [256]);

/** Pairs, as in functions/recordings.ts: the most expensive sets, with half a set and half a run per event. */
const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };

/** A folder on a real disk, because the temporary folder may be in memory. */
const folder = options.quick
  ? mkdtempSync(join(tmpdir(), 'muster-bench-'))
  : join(import.meta.dirname, '../../.muster/bench');
const postgres = await startPostgres({
  folder,
  fresh: true,
  settings: {
    shared_buffers: '512MB',
    max_wal_size: '4GB',
    max_connections: '400',
    ...(options.quick && { fsync: 'off' }), // forty databases are created for figures that nobody reads
  },
});
try {
  const machine = await describeMachine(postgres);
  print(Object.values(machine).join('\n'));
  const connections = {
    transaction: await tune('transaction', [8, 16, 32, 64]),
    statement: await tune('statement', [4, 8, 16, 32]),
  };
  const measured: Record<string, Measured[]> = {};
  for (const transport of ['http', 'process'] as const) {
    if (!only.includes(transport)) continue;
    const stores = ['muster', 'paused', 'transaction', 'statement'] as const;
    const contenders = [...stores, ...(transport === 'process' ? (['floor'] as const) : [])].map(
      (store): Contender => ({
        name: `${store} ${transport}`,
        store,
        transport,
        workload: PAIRS,
        ...((store === 'transaction' || store === 'statement') && {
          connections: connections[store],
        }),
      }),
    );
    measured[transport] = await compete(contenders, IN_FLIGHT);
    print(table(TRANSPORTS[transport], measured[transport]));
  }
  if (only.includes('features')) {
    measured['features'] = await compete(features(), FEATURES_IN_FLIGHT);
    print(table('The cost of each feature, in process', measured['features']));
  }
  const verdicts = options.quick || chosenInFlight !== undefined ? [] : aims(measured);
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

/** Muster with and without certain features, in process, with paused handlers. */
function features(): Contender[] {
  return [
    variant('everything', 'paused'),
    variant('with running handlers', 'muster'),
    variant('without deadlines', 'paused', { deadlines: false }),
    variant('without creating runs', 'paused', { completes: false }),
    variant('without versions and tombstones', 'unversioned'),
    variant('20 rows per set', 'paused', { rowsPerSet: 20 }),
    variant('bare inserts, with a primary key', 'keyed'),
    variant('bare inserts, without any key', 'floor'),
  ];
}

function variant(
  name: string,
  store: Contender['store'],
  change: Partial<Workload> = {},
): Contender {
  return { name, store, transport: 'process', workload: { ...PAIRS, ...change } };
}

/** Measures all contenders in turn, once per round. */
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
  // Measures compiled code: a server's CPU per event still falls by a third after a second.
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

/** Returns the best number of connections for a baseline, so that no bad setting puts it at a disadvantage. */
async function tune(
  store: 'transaction' | 'statement',
  candidates: readonly number[],
): Promise<number> {
  if (options.quick || !only.some((transport) => transport in TRANSPORTS)) return candidates[0]!;
  const contenders = candidates.map((connections) => ({
    name: `${store} on ${connections}`,
    store,
    transport: 'process' as const,
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
