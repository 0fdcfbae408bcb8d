import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inject } from 'vitest';
import { until } from './until.ts';

/**
 * Makes something in a folder once per test run: the file that comes first makes it, and the others wait for what it
 * returned, which must be JSON. The folder is removed after the run.
 */
export async function oncePerRun<T>(
  name: string,
  make: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(inject('runFolder'), name);
  const file = `${folder}.json`;
  if (isFirst(folder)) {
    const made = await make(folder).then(
      (value) => ({ value }),
      (error: Error) => ({ problem: error.stack ?? error.message }),
    );
    writeFileSync(`${file}.new`, JSON.stringify(made));
    renameSync(`${file}.new`, file);
  }
  await until(() => existsSync(file), 240_000);
  const made = JSON.parse(readFileSync(file, 'utf8')) as { value: T; problem?: string };
  if (made.problem !== undefined) throw new Error(`${name} was not made: ${made.problem}`);
  return made.value;
}

/** Whether this process has created the folder. */
function isFirst(folder: string): boolean {
  try {
    mkdirSync(folder);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}
