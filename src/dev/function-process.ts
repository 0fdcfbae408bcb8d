import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { watchOver } from './watcher.ts';

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

const MUSTER = fileURLToPath(new URL('../cli/muster.ts', import.meta.url));

/**
 * A function as a pod would run it: `muster serve` in a process of its own. If it ends unasked it is
 * started again, as Kubernetes would; it ends with its parent, however that ends, because its
 * standard input ends then.
 */
export class FunctionProcess {
  readonly address: string;
  readonly #options: FunctionOptions;
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess;
  #stopping = false;

  private constructor(options: FunctionOptions) {
    this.address = `http://127.0.0.1:${options.port}/`;
    this.#options = options;
    this.#env = environment(options);
    this.#child = this.#spawn();
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
    const started = new FunctionProcess(options);
    await started.#ready();
    return started;
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
    child.once('exit', (code, signal) => {
      watcher.kill('SIGKILL');
      void this.#onExit(signal ?? `exit code ${code}`);
    });
    return child;
  }

  async #onExit(how: string): Promise<void> {
    if (this.#stopping) return;
    const what = this.#options.command === 'console' ? 'console' : 'function';
    this.#options.say(`the ${what} ended (${how}); starting it again`);
    await sleep(500);
    if (!this.#stopping) this.#child = this.#spawn();
  }

  async #ready(): Promise<void> {
    const child = this.#child;
    for (;;) {
      if (hasEnded(child)) {
        this.#stopping = true;
        const log = readFileSync(logIn(this.#options.folder), 'utf8').trimEnd().split('\n');
        throw new Error(
          `muster ${this.#options.command ?? 'serve'} did not start:\n${log.slice(-5).join('\n')}`,
        );
      }
      const answer = await fetch(`${this.address}health/readiness`).catch(() => undefined);
      if (answer?.ok) return;
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
