/**
 * `muster dev`: a PostgreSQL, the functions and the console beside one's own code. A saved file is checked, and
 * replaces the functions only if it has no problem: until then the last good version goes on.
 */
import { existsSync, watch } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { functionsFolder } from '../../definitions/function-files.ts';
import { CleanUp } from '../../lib/clean-up.ts';
import { errorText } from '../../lib/error-text.ts';
import { requireFreePort } from '../port.ts';
import { type Checked, readChecked, tablesOfAll } from './checked.ts';
import { databaseId, type DatabaseOptions, openDatabase } from './database.ts';
import { environmentOf, groupPrefixOf } from './environment.ts';
import { introduction } from './introduction.ts';
import {
  type KafkaTopics,
  requireBrokers,
  sayMissing,
  topicsOf,
  UnnamedTopics,
} from './kafka-topics.ts';
import { MusterProcess, outcomeOf } from './muster-process.ts';
import { SourceFollower } from './source-follower.ts';
import { typeErrors } from './type-errors.ts';

export interface DevOptions extends DatabaseOptions {
  /** Database with the tables of the functions' parts. Null: the embedded one, if it is used. */
  readonly sourceUrl: string | null;
  /** Topics to read instead of following tables. */
  readonly kafka: KafkaTopics | null;
  readonly port: number;
  readonly consolePort: number;
}

/** Editors write a file in several steps. */
const SETTLED_MS = 150;
const RESTART_MS = 1_000;

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

  private constructor(options: DevOptions, url: string, groupPrefix: string) {
    const { databaseUrl, sourceUrl, kafka } = options;
    this.#options = options;
    // the changes of Kafka's topics and those of tables would be rows of two sources
    const ownUrl = databaseUrl === null && kafka === null ? url : null;
    this.#sourceUrl = sourceUrl ?? ownUrl;
    this.#env = environmentOf(process.env, { databaseUrl: url, kafka, groupPrefix });
  }

  /** Runs until `stopped` resolves. Rejects if the database, a port or the folder of the functions can't be had. */
  static async run(options: DevOptions, stopped: Promise<unknown>): Promise<void> {
    await using parts = new CleanUp();
    for (const port of [options.port, options.consolePort]) await requireFreePort(port);
    const { kafka, say } = options;
    if (kafka !== null) await requireBrokers(kafka);
    const url = await openDatabase(options, parts);
    const groupPrefix = kafka === null ? '' : groupPrefixOf(await databaseId(url));
    const dev = new Dev(options, url, groupPrefix);
    parts.defer(() => dev.#end());
    say(`database   ${url}`);
    if (kafka !== null) {
      say(`kafka      ${kafka.brokers}, read by the consumer groups ${groupPrefix}<function>`);
    }
    await Promise.race([stopped, dev.#work()]);
    say('stopping');
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
        await this.#start().catch((error: Error) => {
          say(`${error.message}\nSave a file of the functions to try again.`);
        });
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

  /**
   * Checks the functions, and replaces those that run unless there is a problem. Rejects only if the first ones can't be
   * served with these options.
   */
  async #reload(): Promise<void> {
    const { kafka, say } = this.#options;
    try {
      const functions = await this.#replace();
      if (functions === null) return;
      if (this.#isIntroduced) say(`reloaded: ${functions.map((each) => each.function).join(', ')}`);
      else this.#introduce(functions);
      if (kafka !== null) await sayMissing(topicsOf(functions, kafka), kafka, say);
      await this.#follow(functions);
    } catch (error) {
      if (error instanceof UnnamedTopics && !this.#isIntroduced) throw error;
      if (!this.#stopping.signal.aborted) say(errorText(error));
    }
  }

  /** Returns the functions that run now; prints the problem and returns null if there is one. */
  async #replace(): Promise<readonly Checked[] | null> {
    const [checked, types] = await Promise.all([
      this.#outcome('check', '--json'),
      typeErrors(this.#folder),
    ]);
    // A wrong name in a definition is a type error, too, which has its line.
    const found = [checked.problem, types].filter((each) => each !== null).join('\n');
    const problem = found || (await this.#outcome('migrate')).problem;
    if (problem !== null) {
      if (this.#stopping.signal.aborted) return null;
      const isRunning = this.#served !== null;
      const what = isRunning ? 'The last good version goes on.' : 'Save a better version to go on.';
      this.#options.say(`${problem}\n${what}`);
      return null;
    }
    const functions = readChecked(checked.stdout);
    if (this.#options.kafka !== null) topicsOf(functions, this.#options.kafka); // all are named
    const isFirst = this.#served === null;
    await this.#stopProcesses();
    // without a worker, a definition that was announced above is registered at once
    if (!isFirst) await this.#outcome('migrate');
    await this.#start();
    return functions;
  }

  #outcome(...args: string[]) {
    return outcomeOf(args, this.#env, this.#stopping.signal);
  }

  async #start(): Promise<void> {
    const { port, consolePort, kafka, say } = this.#options;
    this.#served = MusterProcess.serve(port, this.#env, say);
    this.#console = MusterProcess.console(consolePort, port, this.#env, say);
    try {
      // With Kafka it is not ready while a topic does not exist, but must go on, for the next reload.
      const served = kafka === null ? this.#served.ready() : this.#served.listening();
      await Promise.all([served, this.#console.ready()]);
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
    const tables = tablesOfAll(functions);
    if (this.#sourceUrl === null || this.#follower?.tables.join() === tables.join()) return;
    await this.#follower?.stop(true);
    this.#follower = null;
    if (tables.length === 0) return;
    const sink = `http://127.0.0.1:${port}/`;
    const keepsSlot = sourceUrl === null;
    this.#follower = new SourceFollower({ url: this.#sourceUrl, tables, sink, keepsSlot, say });
  }

  async #end(): Promise<void> {
    this.#stopping.abort();
    await this.#follower?.stop();
    await this.#stopProcesses();
  }

  #introduce(functions: readonly Checked[]): void {
    const { port, consolePort, kafka, say } = this.#options;
    const folder = relative('.', this.#folder);
    const options = { port, consolePort, readsKafka: kafka !== null, folder };
    for (const line of introduction(functions, options)) say(line);
    this.#isIntroduced = true;
  }
}
