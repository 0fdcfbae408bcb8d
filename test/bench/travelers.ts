/**
 * Travelers: records per second of one process, from the bytes in the topic to results that can be
 * queried, compared with a row of state per traveler that each record reads and writes, and with a plain
 * insert of the records; then from Kafka; then the duration of queries.
 */
import { migrate } from '../../src/state/schema/migrate.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import {
  atLeast,
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
import { measureFromKafka } from './travelers-kafka.ts';
import { measureLive } from './travelers-live.ts';
import { measureQueries } from './travelers-query.ts';
import type { TravelersAnswer, TravelersOrder, TravelersStart } from './travelers-worker.ts';

const SCHEMA = `
  create schema bench;
  create table bench.traveler (
    sensor int, traveler uuid, type text, first_at int8, last_at int8, x float8, y float8,
    path float8, moved int8, slowest float8, fastest float8, samples int, primary key (sensor, traveler)
  ) with (fillfactor = 50);
  create table bench.sample (sensor int, traveler uuid, type text, at int8, x float8, y float8);`;

const STORED: Readonly<Record<TravelersStart['store'], string>> = {
  muster: `select sum(next)::int as n from muster.position
           where not exists (select from muster.parked) and not exists (select from travelers.late)`,
  state: 'select sum(samples)::int as n from bench.traveler',
  insert: 'select count(*)::int as n from bench.sample',
};

interface Turn {
  readonly rate: number;
  /** All figures are per record. */
  readonly nodeUs: number;
  readonly postgresUs: number;
  readonly statements: number;
  readonly walBytes: number;
}

class Contender {
  readonly name: string;
  readonly turns: Turn[] = [];
  readonly #store: TravelersStart['store'];
  readonly #records: number;
  readonly #db: BenchDatabase;
  readonly #worker: Worker<TravelersOrder, TravelersAnswer>;
  readonly #postgresPid: number;
  #from = 0;

  private constructor(
    name: string,
    { store }: TravelersStart,
    records: number,
    db: BenchDatabase,
    worker: Worker<TravelersOrder, TravelersAnswer>,
    postgresPid: number,
  ) {
    this.name = name;
    this.#store = store;
    this.#records = records;
    this.#db = db;
    this.#worker = worker;
    this.#postgresPid = postgresPid;
  }

  /** `records`: the number per turn; the first turn is not counted. */
  static async enter(
    name: string,
    store: TravelersStart['store'],
    connections: number,
    records: number,
    rounds: number,
    { postgres }: SectionContext,
  ): Promise<Contender> {
    const db = await createDatabase(postgres, `travelers_${store}_${connections}`);
    await migrate(db.url, ['travelers']);
    await db.client.query(SCHEMA);
    const start = { url: db.url, store, connections, records: records * (rounds + 1) };
    const worker = await Worker.start<TravelersOrder, TravelersAnswer>(
      'travelers-worker.ts',
      start,
    );
    return new Contender(name, start, records, db, worker, postgres.pid);
  }

  async measure(counts = true): Promise<void> {
    await this.#db.client.query('checkpoint');
    const look = async () => ({
      node: cpuOf(this.#worker.pid),
      postgres: cpuOfPostgres(this.#postgresPid),
      wal: await this.#wal(),
    });
    const before = await look();
    const to = this.#from + this.#records;
    const { seconds, statements } = await this.#worker.ask({ from: this.#from, to });
    const after = await look();
    this.#from = to;
    const { rows } = await this.#db.client.query<{ n: number }>(STORED[this.#store]);
    same(`travelers, records of ${this.name}`, rows[0]!.n, to);
    if (!counts) return;
    const each = (total: number) => total / this.#records;
    this.turns.push({
      rate: this.#records / seconds,
      nodeUs: each(after.node - before.node),
      postgresUs: each(after.postgres - before.postgres),
      statements: each(statements),
      walBytes: each(after.wal - before.wal),
    });
  }

  median(figure: keyof Turn): number {
    return medianOf(this.turns.map((turn) => turn[figure]));
  }

  async leave(): Promise<void> {
    await this.#worker.end();
    await this.#db.drop();
  }

  async #wal(): Promise<number> {
    const { rows } = await this.#db.client.query<{ bytes: number }>(
      `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as bytes`,
    );
    return rows[0]!.bytes;
  }
}

export async function measureTravelers(context: SectionContext): Promise<SectionResult> {
  const { quick, say } = context;
  const rounds = quick ? 1 : 3;
  const many = quick ? 30_000 : 400_000;
  const few = quick ? 1_000 : 30_000;
  const contenders: Contender[] = [];
  const enter = async (name: string, store: TravelersStart['store'], on: number, n: number) =>
    contenders.push(
      await Contender.enter(`${name}, ${on} connections`, store, on, n, rounds, context),
    );
  try {
    await enter('Muster', 'muster', 2, many);
    await enter('plain inserts', 'insert', 2, many);
    for (const on of quick ? [8] : [4, 16, 64]) {
      await enter('a row per traveler, read and written', 'state', on, few);
    }
    for (const each of contenders) await each.measure(false); // compiles
    for (let round = 0; round < rounds; round++) {
      for (const each of contenders) await each.measure();
    }
  } finally {
    for (const each of contenders) await each.leave();
  }
  const [muster, , ...states] = contenders;
  const rows = contenders.map((each) => [
    each.name,
    whole(each.median('rate')),
    each.median('nodeUs').toFixed(1),
    each.median('postgresUs').toFixed(1),
    (1 / each.median('statements')).toFixed(each.median('statements') > 0.1 ? 1 : 0),
    each.median('walBytes').toFixed(0),
    (muster!.median('rate') / each.median('rate')).toFixed(2),
  ]);
  const head = [
    'store',
    'records/s',
    'CPU µs/record: Node',
    'PostgreSQL',
    'records/statement',
    'WAL bytes/record',
    'Muster is ×',
  ];
  say(grid(`Travelers: records of a process; medians of ${rounds} rounds`, head, rows));

  // The sections' own test omits this and the pipeline, because they need Java.
  const kafka = quick ? null : await measureFromKafka(context);
  const queries = await measureQueries(context);
  const live = await measureLive(context);
  const best = Math.max(...states.map((each) => each.median('rate')));
  return {
    data: { stores: contenders.map(({ name, turns }) => ({ name, turns })), kafka, queries, live },
    verdicts: [
      atLeast('travelers, × a row per traveler', muster!.median('rate') / best, 20),
      atLeast('travelers, records per statement', 1 / muster!.median('statements'), 500),
      ...(kafka === null ? [] : [atLeast('travelers, records/s from Kafka', kafka.rate, 58_000)]),
    ],
  };
}
