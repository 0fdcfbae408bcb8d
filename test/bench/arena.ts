import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { freePort } from '../../src/local/port.ts';
import type { Postgres } from '../../src/local/postgres/postgres.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { createBaselineSchema } from './baselines.ts';
import type { Answer, Contender, Order, Start } from './contender.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import { posters, type Seen } from './load.ts';
import { allHandled } from './section.ts';
import { UNVERSIONED_SCHEMA } from './unversioned.ts';
import { expected, requestOf } from './workload.ts';

const CONTENDER = fileURLToPath(new URL('contender.ts', import.meta.url));

/** One measurement; CPU is in microseconds per event. */
export interface Cell extends Seen {
  readonly inFlight: number;
  readonly nodeUs: number;
  readonly postgresUs: number;
  /** CPU of the sender of requests; null for calls within the process. */
  readonly senderUs: number | null;
}

/** All measurements of a contender; those with the same number in flight are rounds. */
export interface Measured {
  readonly contender: Contender;
  readonly cells: readonly Cell[];
}

/** A contender with its process and its database, ready to be measured repeatedly. */
export class Fighter {
  readonly contender: Contender;
  readonly #postgres: Postgres;
  readonly #child: ChildProcess;
  readonly #database: pg.Client;
  readonly #port: number;
  /** The number of the next event; positions in the log must grow. */
  #from = 0;

  private constructor(
    contender: Contender,
    postgres: Postgres,
    child: ChildProcess,
    database: pg.Client,
    port: number,
  ) {
    this.contender = contender;
    this.#postgres = postgres;
    this.#child = child;
    this.#database = database;
    this.#port = port;
  }

  static async enter(contender: Contender, postgres: Postgres): Promise<Fighter> {
    const name = contender.name.replaceAll(/\W+/g, '_');
    const admin = new pg.Client(postgres.url);
    await admin.connect();
    await admin.query(`create database "${name}"`);
    await admin.end();
    const url = new URL(postgres.url);
    url.pathname = name;
    const database = new pg.Client(url.href);
    database.on('error', () => {}); // the server may stop first
    await database.connect();
    await migrate(url.href, []);
    await createBaselineSchema(url.href);
    if (contender.store === 'unversioned') await database.query(UNVERSIONED_SCHEMA);
    const start: Start = { ...contender, url: url.href, port: await freePort() };
    const child = fork(CONTENDER, [JSON.stringify(start)], {
      env: { ...process.env, ...contender.env },
      execArgv: [
        '--disable-warning=ExperimentalWarning',
        ...(process.env['BENCH_ARGV']?.split(' ') ?? []),
      ],
    });
    await answerOf(child);
    if (contender.store === 'paused' || contender.store === 'unversioned') {
      await database.query('update muster.function set paused = true');
    }
    return new Fighter(contender, postgres, child, database, start.port);
  }

  /** Measures one cell on empty tables; throws if the stored rows don't match the answers. */
  async measure(inFlight: number, seconds: number): Promise<Cell> {
    await this.#database.query('checkpoint');
    const pid = this.#child.pid!;
    const cpu = () => [cpuOf(pid), cpuOfPostgres(this.#postgres.pid), cpuOf(process.pid)] as const;
    const before = cpu();
    const seen = await this.#run({ inFlight, seconds, from: this.#from });
    await this.#settle();
    const after = cpu();
    await this.#check(seen.answered);
    await this.#empty();
    // the next block of sets, so that none starts in one cell and ends in another
    const block = 1024 * this.contender.workload.rowsPerSet;
    this.#from = Math.ceil((this.#from + seen.answered) / block) * block;
    const each = (i: 0 | 1 | 2) => (after[i] - before[i]) / seen.answered;
    const senderUs = this.contender.transport === 'http' ? each(2) : null;
    return { ...seen, inFlight, nodeUs: each(0), postgresUs: each(1), senderUs };
  }

  async leave(): Promise<void> {
    // A contender that crashed has exited already; waiting for that again would hang the bench.
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      this.#child.kill('SIGTERM');
      await gone;
    }
    await this.#database.end();
  }

  async #run(order: Order): Promise<Seen> {
    if (this.contender.transport === 'http') {
      const { inFlight, seconds, from } = order;
      const { workload, traceparent } = this.contender;
      const request = (n: number) => requestOf(n, workload, traceparent);
      return posters(this.#port, inFlight, seconds, from, request);
    }
    this.#child.send(order);
    const answer = await answerOf(this.#child);
    if (!('seen' in answer)) throw new Error(`${this.contender.name} did not answer`);
    return answer.seen;
  }

  /** Waits for Muster's handlers, which continue after the last event is answered. */
  async #settle(): Promise<void> {
    if (this.contender.store !== 'muster') return;
    await allHandled(this.#database);
  }

  async #check(answered: number): Promise<void> {
    const { store, workload, name } = this.contender;
    const all = expected(workload, this.#from, this.#from + answered);
    const { rows } = await this.#database.query<typeof all>(TOTALS[store], [workload.rowsPerSet]);
    const right = store === 'floor' || store === 'keyed' ? { ...all, sets: 0, complete: 0 } : all;
    if (JSON.stringify(rows[0]) !== JSON.stringify(right)) {
      throw new Error(
        `${name}: stored ${JSON.stringify(rows[0])}, expected ${JSON.stringify(right)}`,
      );
    }
  }

  async #empty(): Promise<void> {
    const tables =
      'muster.member, muster.sets, muster.queue, muster.lease, muster.deadline, muster.overdue, muster.outbox, bench.member, bench.sets, bench.event';
    await this.#database.query(`truncate ${tables}`);
  }
}

const MUSTER = (where: string) =>
  `select (select count(*)::int from muster.member where in_set) as members,
          (select count(*)::int from muster.sets where $1 > 0) as sets,
          (select count(*)::int from muster.sets where ${where}) as complete`;
const BASELINE = `select (select count(*)::int from bench.member) as members,
                         (select count(*)::int from bench.sets) as sets,
                         (select count(*)::int from bench.sets where n = $1) as complete`;
const TOTALS: Readonly<Record<Contender['store'], string>> = {
  muster: MUSTER(`complete and state = 'done' and token = 1`),
  paused: MUSTER(`complete and state = 'pending'`),
  unversioned: MUSTER(`complete and state = 'pending'`),
  transaction: BASELINE,
  statement: BASELINE,
  keyed: `select (select count(*)::int from bench.member) as members, 0 as sets, $1 * 0 as complete`,
  floor: `select (select count(*)::int from bench.event) as members, 0 as sets, $1 * 0 as complete`,
};

function answerOf(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const failed = (code: number | null) => reject(new Error(`a contender exited with ${code}`));
    child.once('exit', failed);
    child.once('message', (answer) => {
      child.off('exit', failed);
      resolve(answer as Answer);
    });
  });
}
