import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { relative } from 'node:path';
import { promisify } from 'node:util';

/**
 * Returns the errors that the project's own TypeScript finds in files of a folder, with their lines; null if there
 * are none, or if the project has no tsconfig.json or no TypeScript.
 */
export async function typeErrors(folder: string): Promise<string | null> {
  const compiler = 'node_modules/.bin/tsc';
  if (!existsSync('tsconfig.json') || !existsSync(compiler)) return null;
  const output = await promisify(execFile)(compiler, ['--noEmit', '--pretty', 'false']).then(
    () => '',
    (error: { stdout?: string }) => error.stdout ?? '',
  );
  const prefix = `${relative('.', folder)}/`;
  const errors = output
    .split(/\n(?=\S)/)
    .filter((error) => error.startsWith(prefix))
    .map((error) => error.trimEnd().replace(/^(.*?)\((\d+),(\d+)\): error TS\d+: /, '$1:$2: '));
  return errors.length === 0 ? null : errors.join('\n');
}
