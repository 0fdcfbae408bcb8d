import { fileURLToPath } from 'node:url';
import { TestProcess } from '../support/process.ts';

export const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `muster <args>` until it exits; does not stop a process that serves. */
export async function muster(
  env: Readonly<Record<string, string>>,
  args: readonly string[],
  stdin = '',
): Promise<Result> {
  const child = new TestProcess(MUSTER, args, env);
  if (args[0] !== 'serve' && args[0] !== 'console') child.end(stdin);
  const { code } = await child.exited;
  return { code, stdout: child.stdout, stderr: child.stderr };
}

/** Starts `muster serve` on a free port. */
export async function musterServe(env: Readonly<Record<string, string>>): Promise<TestProcess> {
  return new TestProcess(MUSTER, ['serve'], { HOST: '127.0.0.1', PORT: '0', ...env }).serving();
}

/** Starts `muster console` on a free port. */
export async function musterConsole(env: Readonly<Record<string, string>>): Promise<TestProcess> {
  return new TestProcess(MUSTER, ['console'], { HOST: '127.0.0.1', PORT: '0', ...env }).serving();
}
