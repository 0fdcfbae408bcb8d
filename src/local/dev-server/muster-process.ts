import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Readiness } from '../readiness.ts';
import { readable } from './log-lines.ts';

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
/** Node 22 warns that it strips types. */
const FLAGS = ['--disable-warning=ExperimentalWarning'];
const program = (name: string) =>
  fileURLToPath(new URL(`../../cli/${name}.${EXTENSION}`, import.meta.url));
const MUSTER = program('muster');
const CONSOLE = program('dev-console');

/** Output of a command; `problem` is its error output if it failed, and null otherwise. */
export interface Outcome {
  readonly stdout: string;
  readonly problem: string | null;
}

/** Runs a command of Muster to its end, or until the signal aborts. A file that it loads may leave something open. */
export async function outcomeOf(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Outcome> {
  try {
    const options = { env, signal, maxBuffer: 1 << 24 };
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [...FLAGS, MUSTER, ...args],
      options,
    );
    return { stdout, problem: null };
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    return { stdout: '', problem: (stderr || message).trimEnd() };
  }
}

type Say = (line: string) => void;

/** The functions or the console in a process of its own, which ends with this one. */
export class MusterProcess {
  readonly #child: ChildProcess;
  readonly #readiness = new Readiness();
  readonly #address: string;
  readonly #said: string[] = [];

  /** Starts the functions. */
  static serve(port: number, env: NodeJS.ProcessEnv, say: Say): MusterProcess {
    return new MusterProcess([MUSTER, 'serve'], port, env, say);
  }

  /** Starts the console, with the page that sends events to a port. */
  static console(port: number, sendTo: number, env: NodeJS.ProcessEnv, say: Say): MusterProcess {
    return new MusterProcess([CONSOLE, String(sendTo)], port, env, say);
  }

  private constructor(args: readonly string[], port: number, env: NodeJS.ProcessEnv, say: Say) {
    this.#address = `http://127.0.0.1:${port}/`;
    this.#child = spawn(process.execPath, [...FLAGS, ...args], {
      env: { ...env, ...this.#readiness.env, PORT: String(port), EXIT_WITH_STDIN: '1' },
      // of its own group, so that Ctrl-C reaches it through this process, in order
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const { stdout, stderr } = this.#child;
    createInterface({ input: stdout! }).on('line', (line) => say(`event  ${line}`));
    createInterface({ input: stderr! }).on('line', (line) => {
      const text = readable(line);
      if (text === null) return;
      this.#said.push(text);
      this.#said.splice(0, this.#said.length - 5);
      say(text);
    });
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Resolves once it is ready; rejects with its last words if it ends before. */
  async ready(): Promise<void> {
    await this.#until(() => this.#readiness.at(this.#address));
  }

  /** Resolves once it answers, even that it is not ready; rejects as `ready` does. */
  async listening(): Promise<void> {
    await this.#until(() => this.#readiness.isListening(this.#address));
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    for (; !(await condition()); await sleep(20)) {
      if (this.hasEnded) throw new Error(this.#said.join('\n'));
    }
  }

  /** Resolves when it has ended, whatever the reason. */
  async ended(): Promise<void> {
    if (!this.hasEnded) await once(this.#child, 'exit');
  }

  /** Lets running handlers finish. */
  async stop(): Promise<void> {
    if (this.hasEnded) return;
    this.#child.kill('SIGTERM');
    await this.ended();
  }
}
