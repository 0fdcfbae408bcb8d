/**
 * The cost of an event in large tables: with a number of sets, all of them run, and with a number of rows
 * per set. Each cell has its own database, filled by plain inserts with the rows that ingesting would have
 * left, and is measured in turn with the others: with the planner's statistics after ANALYZE, or with those
 * of empty tables. Deadlines are enabled, handlers paused.
 */
import { openDatabase } from '../../src/state/database/database.ts';
import { specify } from '../../src/definitions/specification.ts';
import { register } from '../../src/state/registration/register.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import { fillSets } from './filled.ts';
import type { GrowthOrder, GrowthStart } from './growth-worker.ts';
import type { Seen } from './load.ts';
import {
  atMost,
  attach,
  createDatabase,
  grid,
  medianOf,
  same,
  whole,
  Worker,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
  type Verdict,
} from './section.ts';
import { definitionOf, expected, type Workload } from './workload.ts';

interface CellDefinition {
  readonly name: string;
  /** Sets in the tables beforehand, all run; with more than two rows per set, half full. */
  readonly sets: number;
  readonly rowsPerSet: number;
  readonly analyzed: boolean;
}

const IN_FLIGHT = 256;
/** Prefilled sets have numbers above those of all sets made by events. */
const FAR = 1_000_000_000;

interface Figures {
  readonly events: number;
  readonly rate: number;
  /** CPU is in microseconds per event. */
  readonly nodeUs: number;
  readonly postgresUs: number;
}

/** A cell with its database and the process that ingests into it. */
class Cell {
  readonly definition: CellDefinition;
  readonly figures: Figures[] = [];
  readonly #db: BenchDatabase;
  readonly #worker: Worker<GrowthOrder, Seen>;
  #from: number;

  private constructor(
    definition: CellDefinition,
    db: BenchDatabase,
    worker: Worker<GrowthOrder, Seen>,
  ) {
    this.definition = definition;
    this.#db = db;
    this.#worker = worker;
    this.#from = isPair(definition) ? 0 : 1024 * (definition.rowsPerSet / 2);
  }

  static async make(definition: CellDefinition, db: BenchDatabase): Promise<Cell> {
    if (definition.analyzed) {
      await db.client.query('vacuum (analyze) muster.member, muster.sets');
    }
    const start: GrowthStart = { url: db.url, workload: workloadOf(definition) };
    return new Cell(definition, db, await Worker.start('growth-worker.ts', start));
  }

  async measure(seconds: number, { postgres }: SectionContext): Promise<Figures> {
    await this.#db.client.query('checkpoint');
    const cpu = () => [cpuOf(this.#worker.pid), cpuOfPostgres(postgres.pid)] as const;
    const before = cpu();
    const seen = await this.#worker.ask({ inFlight: IN_FLIGHT, seconds, from: this.#from });
    const after = cpu();
    await this.#check(seen.answered);
    await this.#goOn(seen.answered);
    return {
      events: seen.answered,
      rate: seen.answered / seen.seconds,
      nodeUs: (after[0] - before[0]) / seen.answered,
      postgresUs: (after[1] - before[1]) / seen.answered,
    };
  }

  async leave(): Promise<void> {
    await this.#worker.end();
    await this.#db.drop();
  }

  /** Checks pairs against the events, and larger sets against the rows they have. */
  async #check(answered: number): Promise<void> {
    const what = `growth, ${this.definition.name}`;
    if (isPair(this.definition)) {
      const { rows } = await this.#db.client.query(
        `select (select count(*)::int from muster.member where ${NEW_MEMBERS}) as members,
                (select count(*)::int from muster.sets where ${NEW_SETS}) as sets,
                (select count(*)::int from muster.sets where ${NEW_SETS} and complete and state = 'pending') as complete`,
      );
      const workload = workloadOf(this.definition);
      same(what, rows[0], expected(workload, this.#from, this.#from + answered));
    } else {
      const { rows } = await this.#db.client.query(
        `select (select count(*)::int from muster.member where ${NEW_MEMBERS}) as "new",
                (select count(*)::int from muster.member where in_set) as held,
                (select sum(counts[1] + counts[2])::int from muster.sets) as counted`,
      );
      const { sets, rowsPerSet } = this.definition;
      const made = this.#from + answered - 1024 * (rowsPerSet / 2);
      const all = (sets * rowsPerSet) / 2 + made;
      same(what, rows[0], { new: made, held: all, counted: all });
    }
  }

  /** Deletes pairs again, so that the tables keep their size; larger sets keep filling. */
  async #goOn(answered: number): Promise<void> {
    this.#from += answered;
    if (!isPair(this.definition)) return;
    const { client } = this.#db;
    await client.query(`delete from muster.member where ${NEW_MEMBERS}`);
    await client.query(`delete from muster.sets where ${NEW_SETS}`);
    await client.query('truncate muster.deadline, muster.queue');
    // So that the next turn writes to the same pages as this one.
    await client.query('vacuum muster.member, muster.sets');
    this.#from = Math.ceil(this.#from / 2048) * 2048; // no set starts in one turn and ends in another
  }
}

function isPair({ rowsPerSet }: CellDefinition): boolean {
  return rowsPerSet === 2;
}

function workloadOf({ rowsPerSet }: CellDefinition): Workload {
  return { rowsPerSet, deadlines: true, completes: true };
}

/** Creates a database with the paused function and the prefilled sets. */
async function fill(name: string, definition: CellDefinition, context: SectionContext) {
  const db = await createDatabase(context.postgres, name);
  const database = openDatabase({
    url: db.url,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 60_000,
    onIdleError() {},
  });
  await register(database, specify(definitionOf(workloadOf(definition))));
  await database.close();
  // Otherwise autovacuum would analyze the tables that should not be analyzed.
  for (const each of ['member', 'sets', 'queue', 'deadline']) {
    await db.client.query(`alter table muster.${each} set (autovacuum_enabled = off)`);
  }
  await db.client.query('update muster.function set paused = true');
  await db.client.query('set synchronous_commit = off');
  const { sets, rowsPerSet } = definition;
  const page = Math.ceil(100_000 / rowsPerSet);
  for (let at = 0; at < sets; at += page) {
    const some = { sets: Math.min(page, sets - at), rowsPerSet };
    const which = isPair(definition)
      ? ({ from: FAR + at, state: 'done' } as const)
      : ({ from: at, state: 'waiting', held: rowsPerSet / 2 } as const);
    await fillSets(db.client, { ...some, ...which });
  }
  await db.client.end();
}

/** Rows made by events: their uuids are below those of the prefilled sets. */
const NEW_MEMBERS = `function = 1 and id < '0193b002'`;
const NEW_SETS = `function = 1 and key < '["0193b000-0000-7000-8000-00003'`;

export async function measureGrowth(context: SectionContext): Promise<SectionResult> {
  const { quick, say } = context;
  const seconds = quick ? 0.3 : 1; // on a busy machine the first answers may take a tenth of a second
  const rounds = quick ? 1 : 5;
  const [small, middle, large] = quick
    ? ([10, 100, 300] as const)
    : ([1_000, 100_000, 1_000_000] as const);
  const bySets = await compete(
    [pairs(small), pairs(middle), pairs(large), pairs(large, false)],
    seconds,
    rounds,
    context,
  );
  say(
    table(
      `Growth: 2 rows per set, by the number of sets in the tables, ${IN_FLIGHT} in flight`,
      bySets,
      rounds,
    ),
  );

  const byMembers = await compete(
    [2, 20, 200, 2_000].map((rowsPerSet) => ({
      name: `${whole(rowsPerSet)} rows per set`,
      sets: quick && rowsPerSet > 20 ? 8 : 1024,
      rowsPerSet,
      analyzed: true,
    })),
    seconds,
    rounds,
    context,
  );
  say(
    table(
      `Growth: 1,024 half-full sets, by the number of rows per set, ${IN_FLIGHT} in flight`,
      byMembers,
      rounds,
    ),
  );

  const verdicts = [
    ...compare(bySets, 2, 1.3),
    ...compare(bySets, 3, 1.3),
    ...compare(byMembers, 3, 1.5),
  ];
  const data = [...bySets, ...byMembers].map(({ definition, figures }) => ({
    ...definition,
    figures,
  }));
  return { data, verdicts };
}

function pairs(sets: number, analyzed = true): CellDefinition {
  const name = `${whole(sets)} sets${analyzed ? '' : ', never analyzed'}`;
  return { name, sets, rowsPerSet: 2, analyzed };
}

function compare(cells: readonly Cell[], at: number, target: number): Verdict[] {
  const what = `${cells[at]!.definition.name} against ${cells[0]!.definition.name}`;
  return [
    atMost(`CPU per event, ${what}`, cost(cells[at]!) / cost(cells[0]!), target),
    atMost(`time per event, ${what}`, rate(cells[0]!) / rate(cells[at]!), target),
  ];
}

async function compete(
  definitions: readonly CellDefinition[],
  seconds: number,
  rounds: number,
  context: SectionContext,
): Promise<Cell[]> {
  const cells: Cell[] = [];
  try {
    for (const [i, definition] of definitions.entries()) {
      if (cells.length > i) continue;
      const name = `growth_${definition.sets}_${definition.rowsPerSet}`;
      await fill(name, definition, context);
      const twin = definitions[i + 1];
      if (twin !== undefined && !twin.analyzed) {
        const copy = await createDatabase(context.postgres, `${name}_not`, { copyOf: name });
        cells.push(await Cell.make(definition, await attach(context.postgres, name)));
        cells.push(await Cell.make(twin, copy));
      } else cells.push(await Cell.make(definition, await attach(context.postgres, name)));
    }
    for (const cell of cells) await cell.measure(2 * seconds, context); // compiles, and warms the cache
    for (let round = 0; round < rounds; round++) {
      for (const cell of cells) cell.figures.push(await cell.measure(seconds, context));
    }
    return cells;
  } finally {
    for (const cell of cells) await cell.leave();
  }
}

function rate({ figures }: Cell): number {
  return medianOf(figures.map((each) => each.rate));
}

function cost({ figures }: Cell): number {
  return medianOf(figures.map(({ nodeUs, postgresUs }) => nodeUs + postgresUs));
}

function table(title: string, cells: readonly Cell[], rounds: number): string {
  const rows = cells.map((cell) => [
    cell.definition.name,
    whole(rate(cell)),
    medianOf(cell.figures.map(({ nodeUs }) => nodeUs)).toFixed(0),
    medianOf(cell.figures.map(({ postgresUs }) => postgresUs)).toFixed(0),
    (cost(cell) / cost(cells[0]!)).toFixed(2),
    (rate(cells[0]!) / rate(cell)).toFixed(2),
  ]);
  const head = ['before', 'events/s', 'CPU µs/event: Node', 'PostgreSQL', 'CPU ×', 'time ×'];
  return grid(`${title}; medians of ${rounds} rounds`, head, rows);
}
