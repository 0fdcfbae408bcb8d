import { execFile, execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { built, FIRST_MS } from './built.ts';

const run = promisify(execFile);

/** Why no packages of Python can be had; null if they can. */
export function pythonProblem(): string | null {
  return commandProblem('python3', '-m', 'ensurepip', '--version');
}

/** Why a command can't be run; null if it can. */
export function commandProblem(command: string, ...args: readonly string[]): string | null {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return null;
  } catch {
    return `${[command, ...args].join(' ')} does not work here`;
  }
}

/** Returns a folder with packages: what `pip install` gets, such as `cloudevents==2.2.0`. */
export async function pythonPackages(name: string, packages: readonly string[]): Promise<string> {
  return built(name, packages, async (into) => {
    const venv = join(into, 'venv');
    await run('python3', ['-m', 'venv', venv], { timeout: FIRST_MS });
    const pip = ['-m', 'pip', 'install', '--quiet', '--target', into, ...packages];
    await run(join(venv, 'bin', 'python'), pip, { timeout: FIRST_MS });
    rmSync(venv, { recursive: true });
  });
}
