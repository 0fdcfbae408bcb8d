/** `npm run dev` in a user's project. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { onTestFinished } from 'vitest';
import { blockOf } from '../../support/blocks.ts';
import { until } from '../../support/until.ts';
import { userEnvironment, type User } from './project.ts';

const DEVELOP = blockOf('docs/your-repository.md: npm run dev');

export interface DevOptions {
  readonly user?: User;
  readonly env?: Readonly<Record<string, string>>;
  /** The command, without the options of ports. */
  readonly line?: string;
}

export class Dev {
  readonly #child: ChildProcess;
  said = '';

  constructor(
    folder: string,
    port: number,
    consolePort: number,
    { user, env, line = `${DEVELOP.trim()} --` }: DevOptions = {},
  ) {
    const options = `--port ${port} --console-port ${consolePort}`;
    this.#child = spawn('sh', ['-c', `exec ${line} ${options}`], {
      cwd: folder,
      detached: true, // a group of its own, as in a terminal
      ...user,
      // of production, perhaps: it must not be touched
      env: {
        ...userEnvironment(),
        ...(user !== undefined && { HOME: dirname(folder) }),
        ...env,
        EXIT_WITH_STDIN: '1',
        DATABASE_URL: 'postgres://nobody@127.0.0.1:1/production',
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdout!.on('data', (text) => (this.said += text));
    this.#child.stderr!.on('data', (text) => (this.said += text));
    onTestFinished(() => void this.stop());
  }

  /** Resolves with what was printed since the last call up to this text, once it is printed. */
  async says(text: string): Promise<string> {
    await until(() => {
      if (this.#child.exitCode !== null) throw new Error(`it has ended:\n${this.said}`);
      return this.said.includes(text);
    }, 30_000);
    const end = this.said.indexOf(text) + text.length;
    const said = this.said.slice(0, end);
    this.said = this.said.slice(end);
    return said;
  }

  /** Ends it by Ctrl-C, which a terminal sends to the whole group. */
  async interrupt(): Promise<number | null> {
    process.kill(-this.#child.pid!, 'SIGINT');
    await once(this.#child, 'close');
    return this.#child.exitCode;
  }

  async stop(): Promise<number | null> {
    if (this.#child.exitCode === null) {
      this.#child.stdin!.end();
      await once(this.#child, 'exit');
    }
    return this.#child.exitCode;
  }
}
