import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Fetching and compiling, once: Go takes 100 s on a busy machine. */
export const FIRST_MS = 400_000;

/** Returns the folder that `build` has filled for these contents of files, in this run or in an earlier one. */
export async function built(
  name: string,
  contents: readonly string[],
  build: (folder: string) => Promise<unknown>,
): Promise<string> {
  const hash = createHash('sha256');
  for (const content of contents) hash.update(content);
  const cache = join(process.cwd(), '.muster', 'stack');
  const folder = join(cache, `${name}-${hash.digest('hex').slice(0, 12)}`);
  if (existsSync(folder)) return folder;
  const parts = `${folder}.${process.pid}`;
  rmSync(parts, { recursive: true, force: true });
  mkdirSync(parts, { recursive: true });
  await build(parts);
  renameSync(parts, folder);
  return folder;
}
