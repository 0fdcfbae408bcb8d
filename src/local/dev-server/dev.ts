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
import type { PartSpecification, Specification } from '../../definitions/specification.ts';
import { CleanUp } from '../../lib/clean-up.ts';
import { errorText } from '../../lib/error-text.ts';
import { requireFreePort } from '../port.ts';
import { startPostgres } from '../postgres/postgres.ts';
import { withClient } from '../with-client.ts';
import { exampleCommands } from './example-event.ts';
import { MusterProcess, outcomeOf } from './muster-process.ts';
import type { SourceFollower } from './source-follower.ts';
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
  readonly #stopping = new AbortController();
  #follower: SourceFollower | null = null;
  #served: MusterProcess | null = null;
  #console: MusterProcess | null = null;
  #isIntroduced = false;

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

  /** Runs until `stopped` resolves. Rejects if the database, a port or the folder of the functions can't be had. */
  static async run(options: DevOptions, stopped: Promise<unknown>): Promise<void> {
    await using parts = new CleanUp();
    for (const port of [options.port, options.consolePort]) await requireFreePort(port);
    if (options.databaseUrl !== null) await requireAnswer(options.databaseUrl);
    const url = options.databaseUrl ?? (await embedded(options, parts));
    const dev = new Dev(options, url);
    parts.defer(() => dev.#end());
    options.say(`database   ${url}`);
    await Promise.race([stopped, dev.#work()]);
    options.say('stopping');
  }

  /** Loads the functions, and again once files have settled after a change, until the end. */
  async #work(): Promise<void> {
    const { say } = this.#options;
    const { signal } = this.#stopping;
    const changed = new Set<string>();
    const watcher = watch(this.#folder, { recursive: true, signal }, (_event, name) => {
      if (name !== null && !name.endsWith('~')) changed.add(name);
    });
    watcher.on('error', (error) => say(`saved files are no longer noticed: ${error.message}`));
    await this.#reload();
    while (!signal.aborted) {
      await sleep(SETTLED_MS);
      if (this.#served?.hasEnded === true) {
        say('the functions have ended unexpectedly; starting them again');
        await sleep(RESTART_MS);
        await this.#stopProcesses();
        await this.#start().catch((error: Error) => say(error.message));
      }
      if (changed.size === 0) continue;
      for (let size = 0; size !== changed.size; await sleep(SETTLED_MS)) size = changed.size;
      const paths = [...changed].map((name) => relative('.', join(this.#folder, name)));
      changed.clear();
      const names = paths.filter((path) => existsSync(path)); // others were temporary, or are gone
      say(`changed: ${names.join(', ') || 'a file is gone'}`);
      await this.#reload();
    }
  }

  /** Checks the functions, and replaces those that run unless there is a problem. Never rejects. */
  async #reload(): Promise<void> {
    try {
      const functions = await this.#replace();
      if (functions === null) return;
      if (!this.#isIntroduced) this.#introduce(functions);
      else this.#options.say(`reloaded: ${functions.map((each) => each.function).join(', ')}`);
      this.#isIntroduced = true;
      await this.#follow(functions);
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#options.say(errorText(error));
    }
  }

  /** Returns the functions that run now; prints the problem and returns null if there is one. */
  async #replace(): Promise<readonly Checked[] | null> {
    const [checked, types] = await Promise.all([
      this.#outcome('check', '--json'),
      typeErrors(this.#folder),
    ]);
    const problem = checked.problem ?? types ?? (await this.#outcome('migrate')).problem;
    if (problem !== null) {
      if (this.#stopping.signal.aborted) return null;
      const isRunning = this.#served !== null;
      const what = isRunning ? 'The last good version goes on.' : 'Save a better version to go on.';
      this.#options.say(`${problem}\n${what}`);
      return null;
    }
    const isFirst = this.#served === null;
    await this.#stopProcesses();
    // without a worker, a definition that was announced above is registered at once
    if (!isFirst) await this.#outcome('migrate');
    await this.#start();
    // a function may print, too, when it is loaded
    return checked.stdout
      .split('\n')
      .filter((line) => line.startsWith('{"function":'))
      .map((line) => JSON.parse(line) as Checked);
  }

  #outcome(...args: string[]) {
    return outcomeOf(args, this.#env, this.#stopping.signal);
  }

  async #start(): Promise<void> {
    const { port, consolePort, say } = this.#options;
    this.#served = new MusterProcess('serve', port, this.#env, say);
    this.#console = new MusterProcess('console', consolePort, this.#env, say);
    try {
      await Promise.all([this.#served.ready(), this.#console.ready()]);
    } catch (error) {
      await this.#stopProcesses();
      throw error;
    }
  }

  async #stopProcesses(): Promise<void> {
    const [served, pages] = [this.#served, this.#console];
    this.#served = null;
    this.#console = null;
    await Promise.all([served?.stop(), pages?.stop()]);
  }

  /** Follows the tables of the functions, if there is a source; across reloads, unless the tables change. */
  async #follow(functions: readonly Checked[]): Promise<void> {
    const { sourceUrl, port, say } = this.#options;
    const tables = [...new Set(partsOf(functions).map(({ table }) => table))].toSorted();
    if (this.#sourceUrl === null || this.#follower?.tables.join() === tables.join()) return;
    await this.#follower?.stop(true);
    this.#follower = null;
    if (tables.length === 0) return;
    const { SourceFollower: Follower } = await loadFollower();
    const sink = `http://127.0.0.1:${port}/`;
    const keepsSlot = sourceUrl === null;
    this.#follower = new Follower({ url: this.#sourceUrl, tables, sink, keepsSlot, say });
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    await this.#follower?.stop();
    await this.#stopProcesses();
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
      for (const line of exampleCommands(each, partsOf(functions), url)) say(`  ${line}\n`);
    }
    say(`Save a file in ${relative('.', this.#folder)}/ to reload it. Ctrl-C ends.`);
  }
}

function partsOf(functions: readonly Checked[]): PartSpecification[] {
  return functions.flatMap((each) => ('topic' in each ? [] : each.parts));
}

/** Loads what follows a source, which needs a package that only developers have. */
async function loadFollower(): Promise<{ SourceFollower: typeof SourceFollower }> {
  return import('./source-follower.ts').catch((error: Error) => {
    if (!error.message.includes("'pg-logical-replication'")) throw error;
    const what = 'following tables needs: npm install --save-dev pg-logical-replication';
    throw new Error(what, { cause: error });
  });
}

async function embedded({ say, sql }: DevOptions, parts: CleanUp): Promise<string> {
  const folder = join(process.cwd(), '.muster/dev');
  const text = sql === null ? null : readFileSync(sql, 'utf8');
  const postgres = await startPostgres({ folder, say });
  parts.defer(() => postgres.stop());
  if (text === null) return postgres.url;
  await runOnce(postgres.url, text).catch((error: Error) => {
    throw new Error(`${sql}: ${error.message}; delete .muster/dev to begin again`, {
      cause: error,
    });
  });
  return postgres.url;
}

/** Throws if a database can't be used: waiting for it, as a pod does, would only seem to hang. */
async function requireAnswer(url: string): Promise<void> {
  await withClient(url, async () => {}).catch((error: unknown) => {
    throw new Error(`the database of --database-url can't be used: ${errorText(error)}`, {
      cause: error,
    });
  });
}

/** Marks a database in which the SQL has run. */
const MARK = 'muster dev: its tables are created';

/** Runs SQL in one transaction, once per database. */
async function runOnce(url: string, text: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ mark: string | null; name: string }>(
      `select shobj_description(oid, 'pg_database') as mark, datname as name
       from pg_database where datname = current_database()`,
    );
    if (rows[0]!.mark === MARK) return;
    const name = pg.escapeIdentifier(rows[0]!.name);
    await client.query(`begin; ${text}; comment on database ${name} is '${MARK}'; commit`);
  });
}
