import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requireFreePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { watchOver } from '../../src/local/watcher.ts';

export interface FunctionOptions {
  /** The state database, which the handlers also read. */
  readonly url: string;
  /** Names of the functions in `functions/`, separated by commas. */
  readonly name: string;
  /** `console` runs the console, which does not migrate the database. */
  readonly command?: 'serve' | 'console';
  readonly port: number;
  /** The folder for its log and the events it publishes. */
  readonly folder: string;
  readonly say: (line: string) => void;
  /** Additional configuration. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Delay between the exit of a process and the next start, in milliseconds. */
const RESTART_AFTER = 500;
/** How long to wait for a port that another process holds, in milliseconds. */
const GIVE_UP_AFTER = 5_000;

const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../functions', import.meta.url));

/**
 * Runs a function as a pod would: `muster serve` in a separate process. If it exits unexpectedly it is
 * restarted, as Kubernetes would do. It stops when its parent exits, for whatever reason, because its
 * standard input is closed then.
 */
export class FunctionProcess {
  readonly address: string;
  /** Resolves with the error if the process has exited and can't be restarted. */
  readonly failed: Promise<Error>;
  readonly #fail: (error: Error) => void;
  readonly #options: FunctionOptions;
  readonly #env: NodeJS.ProcessEnv;
  readonly #readiness = new Readiness();
  #child: ChildProcess;
  #ready: Promise<void>;
  #stopping = false;

  private constructor(options: FunctionOptions) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#fail = resolve;
    this.address = `http://127.0.0.1:${options.port}/`;
    this.#options = options;
    this.#env = { ...environment(options), ...this.#readiness.env };
    this.#child = this.#spawn();
    this.#ready = this.#becomeReady(this.#child);
  }

  /** Migrates the state database, starts the process and waits until it accepts events. */
  static async start(options: FunctionOptions): Promise<FunctionProcess> {
    const env = environment(options);
    mkdirSync(options.folder, { recursive: true });
    if (options.command !== 'console') {
      await promisify(execFile)(process.execPath, [MUSTER, 'migrate'], { env }).catch((error) => {
        throw new Error(`muster migrate failed:\n${error.stderr || error.message}`);
      });
    }
    await requireFreePort(options.port);
    const started = new FunctionProcess(options);
    try {
      await started.#ready;
    } catch (error) {
      started.kill();
      throw error;
    }
    started.#watch();
    return started;
  }

  /** Resolves once the current process accepts events; after a crash, once the next one does. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Lets the process drain; kills it after 40 s. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (hasEnded(this.#child)) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const killing = setTimeout(() => this.#child.kill('SIGKILL'), 40_000);
    await ended;
    clearTimeout(killing);
  }

  /** Kills the process immediately, like `kill -9`. */
  kill(): void {
    this.#stopping = true;
    this.#child.kill('SIGKILL');
  }

  /** Has its own process group: Ctrl-C reaches a terminal's whole group, but the parts stop in order. */
  #spawn(): ChildProcess {
    const { folder } = this.#options;
    const files = [publishedIn(folder), logIn(folder)].map((path) => openSync(path, 'a'));
    const child = spawn(process.execPath, [MUSTER, this.#options.command ?? 'serve'], {
      env: this.#env,
      detached: true,
      stdio: ['pipe', ...files],
    });
    files.forEach(closeSync);
    // It drains when its standard input is closed; without a database it would retry for longer.
    const watcher = watchOver(child.pid!, 'KILL', 5);
    child.once('exit', () => watcher.kill('SIGKILL'));
    return child;
  }

  /** Restarts the process whenever it exits unexpectedly. */
  #watch(): void {
    const child = this.#child;
    const onExit = () => {
      if (this.#stopping) return;
      this.#ready = this.#restart(child.signalCode ?? `exit code ${child.exitCode}`);
      this.#ready.catch(this.#fail);
    };
    if (hasEnded(child)) onExit();
    else child.once('exit', onExit);
  }

  /** Waits for the port, because a process that has taken it in the meantime must not get the events. */
  async #restart(how: string): Promise<void> {
    const { command, port, say } = this.#options;
    say(`the ${command === 'console' ? 'console' : 'function'} exited (${how}); restarting it`);
    await sleep(RESTART_AFTER);
    for (const since = Date.now(); !this.#stopping; await sleep(RESTART_AFTER)) {
      const taken = await requireFreePort(port).catch((error: Error) => error);
      if (!(taken instanceof Error)) break;
      if (Date.now() - since > GIVE_UP_AFTER) throw taken;
    }
    if (this.#stopping) return;
    const child = (this.#child = this.#spawn());
    this.#watch();
    try {
      await this.#becomeReady(child);
    } catch (error) {
      if (!hasEnded(child)) throw error;
      await this.#ready; // by now the promise of the next start
    }
  }

  async #becomeReady(child: ChildProcess): Promise<void> {
    for (;;) {
      if (hasEnded(child)) {
        const log = readFileSync(logIn(this.#options.folder), 'utf8').trimEnd().split('\n');
        throw new Error(
          `muster ${this.#options.command ?? 'serve'} did not start:\n${log.slice(-5).join('\n')}`,
        );
      }
      if (await this.#readiness.at(this.address)) return;
      await sleep(50);
    }
  }
}

export const logIn = (folder: string) => join(folder, 'function.log');
export const publishedIn = (folder: string) => join(folder, 'published.jsonl');

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function environment({ url, name, port, env }: FunctionOptions): NodeJS.ProcessEnv {
  const given = { ...process.env, ...env };
  const hasSink = Boolean(given['K_SINK'] || given['SINK_TOPIC']);
  return {
    LOG_LEVEL: 'info',
    ...given,
    // into the file `publishedIn`
    ...(!hasSink && { SINK: 'stdout' }),
    DATABASE_URL: url,
    FUNCTIONS_FOLDER: FOLDER,
    FUNCTIONS: name,
    HOST: '127.0.0.1',
    PORT: String(port),
    EXIT_WITH_STDIN: '1',
  };
}
