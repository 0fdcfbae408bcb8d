/**
 * `muster dev`: a PostgreSQL, the functions and the console beside one's own code. A saved file is checked, and
 * replaces the functions only if it has no problem: until then the last good version goes on.
 */
import { existsSync, readFileSync, watch } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { functionsFolder } from '../../definitions/function-files.ts';
import type { Specification } from '../../definitions/specification.ts';
import { CleanUp } from '../../lib/clean-up.ts';
import { requireFreePort } from '../port.ts';
import { startPostgres } from '../postgres/postgres.ts';
import { exampleCommands } from './example-event.ts';
import { MusterProcess, outcomeOf } from './muster-process.ts';
import { SourceFollower } from './source-follower.ts';
import { typeErrors } from './type-errors.ts';

export interface DevOptions {
  /** Null: an embedded PostgreSQL, which keeps its data in `.muster/dev`. */
  readonly databaseUrl: string | null;
  /** Database with the tables of the functions' parts. Null: the embedded one, if it is used. */
  readonly sourceUrl: string | null;
  /** SQL file that creates tables in the embedded database when that is new. */
  readonly sql: string | null;
  readonly port: number;
  readonly consolePort: number;
  readonly say: (line: string) => void;
}

/** Editors write a file in several steps. */
const SETTLED_MS = 150;
const RESTART_MS = 1_000;

/** What `muster check --json` prints about a function. */
type Checked =
  | ({ readonly function: string } & Specification)
  | { readonly function: string; readonly topic: string };

export class Dev {
  readonly #options: DevOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #folder = fileURLToPath(functionsFolder());
  readonly #sourceUrl: string | null;
  #follower: SourceFollower | null = null;
  #served: MusterProcess | null = null;
  #console: MusterProcess | null = null;
  #isStopping = false;

  private constructor(options: DevOptions, url: string) {
    this.#options = options;
    this.#sourceUrl = options.sourceUrl ?? (options.databaseUrl === null ? url : null);
    this.#env = {
      SINK: 'stdout',
      DEADLINE_GRACE_SECONDS: '1',
      ...process.env,
      DATABASE_URL: url,
      HOST: '127.0.0.1',
    };
  }

  /** Runs until `stopped` resolves. Rejects if the database or a port can't be had. */
  static async run(options: DevOptions, stopped: Promise<unknown>): Promise<void> {
    await using parts = new CleanUp();
    for (const port of [options.port, options.consolePort]) await requireFreePort(port);
    const url = options.databaseUrl ?? (await embedded(options, parts));
    const dev = new Dev(options, url);
    parts.defer(() => dev.#stop());
    options.say(`database   ${url}`);
    await dev.#reload();
    const changes = new AbortController();
    parts.defer(() => changes.abort());
    await Promise.race([stopped, dev.#followFiles(changes.signal)]);
    options.say('stopping');
  }

  /** Reloads once files have settled after a change, as long as `signal` is not aborted. */
  async #followFiles(signal: AbortSignal): Promise<void> {
    const { say } = this.#options;
    const changed = new Set<string>();
    watch(this.#folder, { recursive: true, signal }, (_event, name) => {
      if (name !== null && !name.endsWith('~')) changed.add(name);
    });
    while (!signal.aborted) {
      await sleep(SETTLED_MS);
      if (changed.size === 0) continue;
      for (let size = 0; size !== changed.size; await sleep(SETTLED_MS)) size = changed.size;
      const paths = [...changed].map((name) => relative('.', join(this.#folder, name)));
      changed.clear();
      const names = paths.filter((path) => existsSync(path)); // others were temporary, or are gone
      say(`changed: ${names.join(', ') || 'a file is gone'}`);
      await this.#reload();
    }
  }

  async #reload(): Promise<void> {
    const { say } = this.#options;
    const [checked, types] = await Promise.all([
      outcomeOf(['check', '--json'], this.#env),
      typeErrors(this.#folder),
    ]);
    const problem = checked.problem ?? types ?? (await outcomeOf(['migrate'], this.#env)).problem;
    if (problem !== null) {
      say(
        `${problem}\n${this.#served === null ? 'Save a better version to go on.' : 'The last good version goes on.'}`,
      );
      return;
    }
    const isFirst = this.#served === null;
    await this.#stop();
    // without a worker, a definition that was announced above is registered at once
    if (!isFirst) await outcomeOf(['migrate'], this.#env);
    const functions = checked.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Checked);
    await this.#start();
    if (isFirst) this.#introduce(functions);
    this.#follow(functions);
    if (!isFirst) say(`reloaded: ${functions.map((each) => each.function).join(', ')}`);
  }

  async #start(): Promise<void> {
    const { port, consolePort, say } = this.#options;
    const served = (this.#served = new MusterProcess('serve', port, this.#env, say));
    this.#console = new MusterProcess('console', consolePort, this.#env, say);
    await Promise.all([served.ready(), this.#console.ready()]);
    void served.ended().then(() => this.#restart(served));
  }

  /** Starts the functions again if they have ended by themselves. */
  async #restart(ended: MusterProcess): Promise<void> {
    if (this.#isStopping || this.#served !== ended) return;
    this.#options.say('the functions have ended unexpectedly; starting them again');
    await sleep(RESTART_MS);
    if (this.#isStopping || this.#served !== ended) return;
    await this.#console?.stop();
    await this.#start().catch((error: Error) => this.#options.say(error.message));
  }

  /** Follows the tables of the functions, if there is a source. */
  #follow(functions: readonly Checked[]): void {
    const { sourceUrl, port, say } = this.#options;
    const parts = functions.flatMap((each) => ('topic' in each ? [] : each.parts));
    const tables = [...new Set(parts.map(({ table }) => table))];
    if (this.#sourceUrl === null || tables.length === 0) return;
    const sink = `http://127.0.0.1:${port}/`;
    const keepsSlot = sourceUrl === null;
    this.#follower = new SourceFollower({ url: this.#sourceUrl, tables, sink, keepsSlot, say });
  }

  async #stop(): Promise<void> {
    await this.#follower?.stop();
    this.#follower = null;
    const [served, pages] = [this.#served, this.#console];
    this.#served = null;
    this.#console = null;
    await Promise.all([served?.stop(), pages?.stop()]);
  }

  #introduce(functions: readonly Checked[]): void {
    const { port, consolePort, say } = this.#options;
    const url = `http://localhost:${port}`;
    say(`events     ${url}`);
    say(`console    http://localhost:${consolePort}`);
    for (const each of functions) {
      if ('topic' in each) {
        say(`function   ${each.function}, of the topic ${each.topic}`);
        continue;
      }
      say(`function   ${each.function}. The rows of a set, one by one:\n`);
      for (const line of exampleCommands(each, url)) say(`  ${line}\n`);
    }
    say(`Save a file in ${relative('.', this.#folder)}/ to reload it. Ctrl-C ends.`);
  }
}

async function embedded({ say, sql }: DevOptions, parts: CleanUp): Promise<string> {
  const folder = join(process.cwd(), '.muster/dev');
  const text = sql === null ? null : readFileSync(sql, 'utf8');
  const postgres = await startPostgres({ folder, say });
  parts.defer(() => postgres.stop());
  if (text === null) return postgres.url;
  await runOnce(postgres.url, text).catch((error: Error) => {
    throw new Error(`${sql}: ${error.message}`, { cause: error });
  });
  return postgres.url;
}

/** Runs SQL in one transaction, unless the database has been used by Muster. */
async function runOnce(url: string, text: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rowCount } = await client.query("select from pg_namespace where nspname = 'muster'");
    if (rowCount === 0) await client.query(text);
  } finally {
    await client.end();
  }
}
