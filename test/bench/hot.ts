/**
 * Hot keys: four processes concurrently ingest rows of the same four sets, with group commit like Muster,
 * or with one statement per event. Deadlocks are counted by PostgreSQL.
 */
import { createBaselineSchema } from './baselines.ts';
import type { HotOrder, HotStart } from './hot-worker.ts';
import type { Seen } from './load.ts';
import {
  atLeast,
  atMost,
  createDatabase,
  grid,
  medianOf,
  same,
  whole,
  Worker,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';

const PROCESSES = 4;
const HOT_SETS = 4;
const IN_FLIGHT = 128;

interface Turn {
  readonly rate: number;
  readonly p50Ms: number;
  /** That of the worst process. */
  readonly p99Ms: number;
  readonly deadlocks: number;
}

class Contender {
  readonly name: string;
  readonly store: HotStart['store'];
  readonly turns: Turn[] = [];
  readonly #db: BenchDatabase;
  readonly #workers: readonly Worker<HotOrder, Seen>[];
  readonly #from: number[];
  #deadlocks = 0;

  private constructor(
    name: string,
    store: HotStart['store'],
    db: BenchDatabase,
    workers: readonly Worker<HotOrder, Seen>[],
  ) {
    this.name = name;
    this.store = store;
    this.#db = db;
    this.#workers = workers;
    this.#from = workers.map(() => 0);
  }

  static async enter(
    name: string,
    store: HotStart['store'],
    connections: number,
    { postgres }: SectionContext,
  ): Promise<Contender> {
    const db = await createDatabase(postgres, `hot_${store}_${connections}`);
    await createBaselineSchema(db.url);
    const workers: Worker<HotOrder, Seen>[] = [];
    for (let process = 0; process < PROCESSES; process++) {
      const start: HotStart = { url: db.url, store, process, hotSets: HOT_SETS, connections };
      workers.push(await Worker.start('hot-worker.ts', start));
    }
    return new Contender(name, store, db, workers);
  }

  async measure(seconds: number): Promise<Turn> {
    await this.#db.client.query('checkpoint');
    const seen = await Promise.all(
      this.#workers.map((each, i) =>
        each.ask({ inFlight: IN_FLIGHT, seconds, from: this.#from[i]! }),
      ),
    );
    seen.forEach(({ answered }, i) => (this.#from[i]! += answered));
    await this.#check();
    const before = this.#deadlocks;
    this.#deadlocks = await this.#countDeadlocks();
    const answered = seen.reduce((sum, each) => sum + each.answered, 0);
    return {
      rate: answered / Math.max(...seen.map((each) => each.seconds)),
      p50Ms: medianOf(seen.map(({ p50Ms }) => p50Ms)),
      p99Ms: Math.max(...seen.map(({ p99Ms }) => p99Ms)),
      deadlocks: this.#deadlocks - before,
    };
  }

  async leave(): Promise<void> {
    for (const each of this.#workers) await each.end();
    await this.#db.drop();
  }

  async #check(): Promise<void> {
    const sent = this.#from.reduce((sum, each) => sum + each, 0);
    const { rows } = await this.#db.client.query(
      this.store === 'muster'
        ? `select (select count(*)::int from muster.member where in_set) as members,
                  (select sum(counts[1])::int from muster.sets) as counted`
        : `select (select count(*)::int from bench.member) as members,
                  (select sum(n)::int from bench.sets) as counted`,
    );
    same(`hot keys, ${this.name}`, rows[0], { members: sent, counted: sent });
  }

  /** Returns the deadlocks of this database since it was created. */
  async #countDeadlocks(): Promise<number> {
    // A backend reports its counters at most once per second.
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const { rows } = await this.#db.client.query<{ n: number }>(
      'select deadlocks::int as n from pg_stat_database where datname = current_database()',
    );
    return rows[0]!.n;
  }
}

export async function measureHotKeys(context: SectionContext): Promise<SectionResult> {
  const { quick, say } = context;
  const seconds = quick ? 0.1 : 2;
  const rounds = quick ? 1 : 3;
  const contenders: Contender[] = [];
  try {
    contenders.push(await Contender.enter('Muster', 'muster', 2, context));
    for (const connections of quick ? [4] : [1, 4, 16]) {
      const name = `statement per event, ${PROCESSES} × ${connections} connections`;
      contenders.push(await Contender.enter(name, 'statement', connections, context));
    }
    for (const each of contenders) await each.measure(seconds / 2); // compiles
    for (let round = 0; round < rounds; round++) {
      for (const each of contenders) each.turns.push(await each.measure(seconds));
    }
  } finally {
    for (const each of contenders) await each.leave();
  }
  const [muster, ...others] = contenders;
  const rows = contenders.map((each) => [
    each.name,
    whole(rate(each)),
    medianOf(each.turns.map(({ p50Ms }) => p50Ms)).toFixed(1),
    medianOf(each.turns.map(({ p99Ms }) => p99Ms)).toFixed(1),
    String(deadlocks(each)),
    (rate(muster!) / rate(each)).toFixed(2),
  ]);
  const head = ['store', 'events/s', 'p50 ms', 'p99 ms', 'deadlocks', 'Muster is ×'];
  const title = `Hot keys: ${PROCESSES} processes on the same ${HOT_SETS} sets, ${IN_FLIGHT} in flight each; medians of ${rounds} rounds`;
  say(grid(title, head, rows));
  const best = Math.max(...others.map(rate));
  const verdicts = [
    atLeast('hot keys, × the best statement per event', rate(muster!) / best, 10),
    atMost('hot keys, deadlocks', deadlocks(muster!), 0),
  ];
  return { data: contenders.map(({ name, turns }) => ({ name, turns })), verdicts };
}

function rate({ turns }: Contender): number {
  return medianOf(turns.map((each) => each.rate));
}

function deadlocks({ turns }: Contender): number {
  return turns.reduce((sum, each) => sum + each.deadlocks, 0);
}
