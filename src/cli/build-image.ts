import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { BaseFiles } from '../build/base.ts';
import { emulatorOf, namesOf, ownArchitecture, type Architecture } from '../build/platform.ts';
import { functionsFolder } from '../definitions/function-files.ts';
import { WrongUse } from './wrong-use.ts';

export interface BuildImageOptions {
  readonly cache: boolean;
  readonly platform?: readonly string[];
  readonly sysroot?: string;
}

/** A platform that an image is for. */
export interface Target {
  /** The architecture, unless it is this machine's. */
  readonly other: Architecture | null;
  /** The command that runs programs of another architecture; null if nothing is to be run. */
  readonly emulator: readonly string[] | null;
}

/** Returns the platforms of an image; throws if this machine can't write images for them. */
export function targetsOf({ cache, platform, sysroot }: BuildImageOptions): readonly Target[] {
  const own = `linux/${ownArchitecture()}`;
  if (process.platform !== 'linux') {
    throw new Error('--image writes images for Linux, and on Linux only: use the Dockerfile');
  }
  const targets = [...new Set(platform ?? [own])].map((each): Target => {
    if (each === own) return { other: null, emulator: null };
    const other = each.replace('linux/', '') as Architecture;
    return { other, emulator: cache ? requireEmulator(other) : null };
  });
  if (sysroot !== undefined && targets.every(({ other }) => other === null)) {
    throw new WrongUse(`--sysroot goes with a --platform other than ${own}, this machine's`);
  }
  return targets;
}

function requireEmulator(architecture: Architecture): readonly string[] {
  const emulator = emulatorOf(architecture);
  if (emulator !== null) return emulator;
  throw new Error(
    `the compile cache for linux/${architecture} is made by running the bundle, with QEMU: install qemu-user-static, which brings qemu-${namesOf(architecture).gnu}-static, or build with --no-cache, with which pods take two to three times as long until they answer their first event`,
  );
}

/** Writes one archive with an image for each platform. Returns the name of the image and its digest. */
export async function writeImages(
  file: string,
  targets: readonly Target[],
  { cache, sysroot }: BuildImageOptions,
  bundle: (folder: string) => Promise<unknown>,
): Promise<{ readonly name: string; readonly digest: string }> {
  const { layersOf, START, writeImage } = await import('../build/image.ts');
  const { writeArchive } = await import('../build/archive.ts');
  const content = mkdtempSync(join(tmpdir(), 'muster-image-'));
  const name = nameOfProject();
  try {
    const images = [];
    for (const each of targets) {
      images.push({ ...each, files: await filesOf(each, join(content, 'downloads'), sysroot) });
    }
    const bundled = join(content, 'bundle');
    await bundle(bundled);
    const written = [];
    for (const { files, emulator } of images) {
      const folder = join(content, files.architecture);
      const copy = async (app: string) => cpSync(bundled, app, { recursive: true });
      await writeImage(folder, copy, {
        files,
        emulator,
        runtime: cache ? { isPaused: true } : null,
      });
      written.push({ architecture: files.architecture, layers: layersOf(folder) });
    }
    const start = { ...START, Labels: { 'org.opencontainers.image.title': name } };
    return { name, digest: writeArchive({ name, images: written, start, file: resolve(file) }) };
  } finally {
    rmSync(content, { recursive: true, force: true });
  }
}

/** Returns what the base of an image is made of: this machine's files, or those of another platform. */
async function filesOf(
  { other }: Target,
  folder: string,
  sysroot: string | undefined,
): Promise<BaseFiles> {
  if (other === null) return (await import('../build/base.ts')).ownFiles();
  const { filesFor } = await import('../build/other-platform.ts');
  return filesFor(other, folder, { sysroot, project: projectFolder() });
}

/** The name in package.json beside the functions, without a scope. */
function nameOfProject(): string {
  const file = join(projectFolder(), 'package.json');
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string };
    return name?.replace(/^@.*\//, '') || 'functions';
  } catch {
    return 'functions';
  }
}

function projectFolder(): string {
  return dirname(fileURLToPath(functionsFolder()));
}
