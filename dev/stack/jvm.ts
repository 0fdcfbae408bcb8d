import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { javaCommand, javaEnvironment } from './tools.ts';

export interface JvmOptions {
  /** What it is, for messages. */
  readonly title: string;
  readonly classpath: string;
  readonly mainClass: string;
  readonly args: readonly string[];
  /** `-Xmx` */
  readonly heap: string;
  /** File that its output is added to. */
  readonly log: string;
}

const LOGGING = fileURLToPath(new URL('log4j2.properties', import.meta.url));

/**
 * Starts "$@" and kills it when standard input ends, which it does with the parent process, however
 * that ends. In a process group of its own: Ctrl-C goes to a terminal's whole group, and the end has
 * its order.
 */
const TETHER = `
exec 3<&0 </dev/null
"$@" 3<&- >&2 &
child=$!
echo $child
{ read -r _; kill -9 $child; } <&3 >/dev/null 2>&1 &
watcher=$!
exec 3<&- >/dev/null
wait $child
code=$?
kill $watcher
exit $code`;

/** A Java program that ends with this process, also when that is killed. */
export class Jvm {
  /** Settles with a sentence when it has ended, asked or not. */
  readonly ended: Promise<string>;
  readonly pid: number;
  readonly #options: JvmOptions;
  #hasEnded = false;

  private constructor(options: JvmOptions, shell: ChildProcess, pid: number) {
    this.#options = options;
    this.pid = pid;
    this.ended = new Promise((resolve) => {
      shell.once('exit', (code) => {
        this.#hasEnded = true;
        resolve(`${options.title} ended (exit code ${code}); its log is ${options.log}`);
      });
    });
  }

  static async start(options: JvmOptions): Promise<Jvm> {
    const { classpath, mainClass, args, heap, log } = options;
    const output = openSync(log, 'a');
    const flags = [
      `-Xmx${heap}`,
      // A start in 2.1-2.6 s rather than 5-10 s on two cores.
      '-XX:+UseSerialGC',
      '-XX:TieredStopAtLevel=1',
      '-XX:-UsePerfData',
      '-Djava.awt.headless=true',
      `-Dlog4j2.configurationFile=${LOGGING}`,
    ];
    const command = [javaCommand(), ...flags, '-cp', classpath, mainClass, ...args];
    const shell = spawn('sh', ['-c', TETHER, 'sh', ...command], {
      env: javaEnvironment(),
      detached: true,
      stdio: ['pipe', 'pipe', output],
    });
    closeSync(output);
    shell.unref();
    const pid = await new Promise<number>((resolve, reject) => {
      shell.once('error', reject);
      shell.stdout!.once('data', (line: Buffer) => resolve(Number(line.toString())));
    });
    shell.stdout!.destroy();
    return new Jvm(options, shell, pid);
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The last lines of its log, for a message. */
  get lastWords(): string {
    return readFileSync(this.#options.log, 'utf8').trimEnd().split('\n').slice(-12).join('\n');
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    if (!this.#hasEnded) process.kill(this.pid, 'SIGKILL');
    await this.ended;
  }

  /** Asks it to end; kills it after 10 s. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    process.kill(this.pid, 'SIGTERM');
    const killing = setTimeout(() => process.kill(this.pid, 'SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(killing);
  }
}
