/** Tools for all sections of the bench other than throughput: a server, databases, a table, verdicts. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Postgres } from '../../src/local/postgres/postgres.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { until } from '../support/until.ts';

export interface SectionContext {
  readonly postgres: Postgres;
  /** Whether to use sizes that only show that everything works. */
  readonly quick: boolean;
  /** A folder on a real disk for a section's files. */
  readonly folder: string;
  readonly say: (text: string) => void;
}

export interface Verdict {
  readonly what: string;
  readonly reached: number;
  readonly aim: string;
  readonly met: boolean;
}

export interface SectionResult {
  /** The results for the JSON report. */
  readonly data: unknown;
  readonly verdicts: readonly Verdict[];
}

export type Section = (context: SectionContext) => Promise<SectionResult>;

export interface BenchDatabase {
  readonly url: string;
  readonly client: pg.Client;
  /** Closes its connection and drops the database. */
  drop(): Promise<void>;
}

/** Creates a database on the bench's server: empty, with Muster's schema, or a copy of another one. */
export async function createDatabase(
  postgres: Pick<Postgres, 'url'>,
  name: string,
  content: 'empty' | 'schema' | { readonly copyOf: string } = 'schema',
): Promise<BenchDatabase> {
  const copied = typeof content === 'object';
  await asAdmin(postgres, [
    `drop database if exists "${name}" with (force)`,
    `create database "${name}"${copied ? ` template "${content.copyOf}" strategy file_copy` : ''}`,
  ]);
  const database = await attach(postgres, name);
  if (content === 'schema') await migrate(database.url, []);
  return database;
}

/** Connects to an existing database. */
export async function attach(
  postgres: Pick<Postgres, 'url'>,
  name: string,
): Promise<BenchDatabase> {
  const url = new URL(postgres.url);
  url.pathname = name;
  const client = new pg.Client(url.href);
  client.on('error', () => {}); // the server may stop first
  await client.connect();
  return {
    url: url.href,
    client,
    async drop() {
      await client.end();
      await asAdmin(postgres, [`drop database "${name}" with (force)`]);
    },
  };
}

async function asAdmin({ url }: Pick<Postgres, 'url'>, statements: string[]): Promise<void> {
  const admin = new pg.Client(url);
  await admin.connect();
  try {
    for (const statement of statements) await admin.query(statement);
  } finally {
    await admin.end();
  }
}

/** A worker of the bench in a separate process, controlled over IPC, with one order at a time. */
export class Worker<Order extends object, Answer> {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when the script has reported that it is ready, with any message. */
  static async start<O extends object, A>(script: string, start: object): Promise<Worker<O, A>> {
    const file = fileURLToPath(new URL(script, import.meta.url));
    const worker = new Worker<O, A>(
      fork(file, [JSON.stringify(start)], {
        // kafkajs sets timers for times that have passed
        execArgv: ['ExperimentalWarning', 'TimeoutNegativeWarning'].map(
          (warning) => `--disable-warning=${warning}`,
        ),
      }),
    );
    await worker.#answer();
    return worker;
  }

  get pid(): number {
    return this.#child.pid!;
  }

  async ask(order: Order): Promise<Answer> {
    const answer = this.#answer();
    this.#child.send(order);
    return answer;
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.disconnect();
    await gone;
  }

  #answer(): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const failed = (code: number | null) => reject(new Error(`a worker exited with ${code}`));
      this.#child.once('exit', failed);
      this.#child.once('message', (answer) => {
        this.#child.off('exit', failed);
        resolve(answer as Answer);
      });
    });
  }
}

/** The other side of {@link Worker}: follows orders until its parent disconnects or exits. */
export function obey<Order>(work: (order: Order) => Promise<unknown>): void {
  process.on('message', (order) => {
    void work(order as Order).then((answer) => process.send!(answer as object));
  });
  process.once('disconnect', () => process.exit(0));
  process.send!({});
}

/** Waits for Muster's handlers, which continue after the last event is answered. */
export async function allHandled(client: pg.Client): Promise<void> {
  await until(async () => {
    const { rows } = await client.query(`select from muster.sets where state = 'pending' limit 1`);
    return rows.length === 0;
  }, 60_000);
}

/** Lower median. */
export function medianOf(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[(values.length - 1) >> 1]!;
}

export function percentile(values: readonly number[], p: number): number {
  return values.toSorted((a, b) => a - b)[
    Math.min(values.length - 1, Math.ceil(values.length * p) - 1)
  ]!;
}

/** Formats a table with the first column aligned to the left, all others to the right. */
export function grid(title: string, head: readonly string[], rows: readonly string[][]): string {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!)))
      .join('  ');
  return ['', title, line(head), ...rows.map(line)].join('\n');
}

export function atLeast(what: string, reached: number, target: number): Verdict {
  return { what, reached, aim: `≥ ${target}`, met: reached >= target };
}

export function atMost(what: string, reached: number, target: number): Verdict {
  return { what, reached, aim: `≤ ${target}`, met: reached <= target };
}

export function verdictLine({ what, reached, aim, met }: Verdict): string {
  return `${what}: ${Number(reached.toFixed(2))}; aim ${aim}, ${met ? 'met' : 'missed'}`;
}

export function whole(n: number): string {
  return Math.round(n).toLocaleString('en');
}

/** Fails the bench if a result is wrong: the speed of a wrong answer is meaningless. */
export function same(what: string, got: unknown, target: unknown): void {
  const [a, b] = [JSON.stringify(got), JSON.stringify(target)];
  if (a !== b) throw new Error(`${what}: got ${a}, expected ${b}`);
}
