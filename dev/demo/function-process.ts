import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { requireFreePort } from '../lib/port.ts';
import { Readiness } from './ready.ts';
import { watchOver } from '../lib/watcher.ts';

export interface FunctionOptions {
  /** State database, and the one its handlers read. */
  readonly url: string;
  /** Names of the functions in `functions/`, separated by commas. */
  readonly name: string;
  /** `console`: the process for people, which brings no database up to date. */
  readonly command?: 'serve' | 'console';
  readonly port: number;
  /** Where its log and the events it publishes go. */
  readonly folder: string;
  readonly say: (line: string) => void;
  /** Further configuration. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Milliseconds from the end of a process to the next start. */
const RESTART_AFTER = 500;
/** A port that another process holds this long, in milliseconds, is not waited for any longer. */
const GIVE_UP_AFTER = 5_000;

const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));

/**
 * A function as a pod would run it: `muster serve` in a process of its own. If it ends unasked it is
 * started again, as Kubernetes would; it ends with its parent, however that ends, because its
 * standard input ends then.
 */
export class FunctionProcess {
  readonly address: string;
  /** Settles with the error if it ended and cannot be started again. */
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

  /** Brings the state database up to date, starts the process and waits until it takes events. */
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

  /** Settles once the process that runs now takes events: between a crash and the next start, later. */
  get ready(): Promise<void> {
    return this.#ready;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Lets it drain; after 40 s it is killed. */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (hasEnded(this.#child)) return;
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const killing = setTimeout(() => this.#child.kill('SIGKILL'), 40_000);
    await ended;
    clearTimeout(killing);
  }

  /** Ends it at once, as `kill -9` would. */
  kill(): void {
    this.#stopping = true;
    this.#child.kill('SIGKILL');
  }

  /** In a process group of its own: Ctrl-C goes to a terminal's whole group, and the end has its order. */
  #spawn(): ChildProcess {
    const { folder } = this.#options;
    const files = [publishedIn(folder), logIn(folder)].map((path) => openSync(path, 'a'));
    const child = spawn(process.execPath, [MUSTER, this.#options.command ?? 'serve'], {
      env: this.#env,
      detached: true,
      stdio: ['pipe', ...files],
    });
    files.forEach(closeSync);
    // It drains when its standard input ends; without a database it would try for longer.
    const watcher = watchOver(child.pid!, 'KILL', 5);
    child.once('exit', () => watcher.kill('SIGKILL'));
    return child;
  }

  /** Starts it again whenever it ends unasked. */
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

  /** Another process may have taken the port meanwhile: it must not get the events. */
  async #restart(how: string): Promise<void> {
    const { command, port, say } = this.#options;
    say(`the ${command === 'console' ? 'console' : 'function'} ended (${how}); restarting it`);
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
      await this.#ready; // by now that of the next start
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
    FUNCTIONS: name,
    HOST: '127.0.0.1',
    PORT: String(port),
    EXIT_WITH_STDIN: '1',
  };
}
