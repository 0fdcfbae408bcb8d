import { mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { VERSION } from '../lib/version.ts';
import type { Start } from './archive.ts';
import { ownFiles, USER, writeBase, type BaseFiles } from './base.ts';
import { warmUp, type Runtime } from './warm-up.ts';

/** Must equal the settings in the Dockerfile; a test compares the two. */
export const START: Start = {
  Entrypoint: ['node', '/app/muster.js'],
  Cmd: ['serve'],
  Env: [
    'PATH=/usr/local/bin',
    'NODE_ENV=production',
    // Only read at run time, so that the root file system can be read-only.
    'NODE_COMPILE_CACHE=/app/cache',
    'NODE_COMPILE_CACHE_PORTABLE=1',
  ],
  WorkingDir: '/app',
  User: `${USER}:${USER}`,
  ExposedPorts: { '8080/tcp': {} },
  Labels: {
    'org.opencontainers.image.title': 'muster',
    'org.opencontainers.image.description':
      'Runs your function once the whole set of its parts has arrived',
    'org.opencontainers.image.version': VERSION,
    'org.opencontainers.image.licenses': 'Apache-2.0',
  },
};

/** The layers of the image as folders: `base` is the root, `app` is `/app`. */
export function layersOf(folder: string): { readonly folder: string; readonly at: string }[] {
  return [
    { folder: join(folder, 'base'), at: '' },
    { folder: join(folder, 'app'), at: '/app' },
  ];
}

export interface ImageOptions {
  /** What the base is made of: by default this machine's files. */
  readonly files?: BaseFiles;
  /** The command that runs programs of another architecture. */
  readonly emulator?: readonly string[] | null;
  /** How the bundle is run to fill its caches; null leaves them empty. */
  readonly runtime?: Runtime | null;
}

/** Writes the content of the image into a folder: one layer that rarely changes, and one that often does. */
export async function writeImage(
  folder: string,
  writeBundle: (folder: string) => Promise<unknown>,
  { files = ownFiles(), emulator = null, runtime = {} }: ImageOptions = {},
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const base = join(folder, 'base');
  writeBase(base, files);
  const app = join(folder, 'app');
  await writeBundle(app);
  if (runtime === null) return;
  const emulated = emulator !== null && {
    node: join(base, 'usr/local/bin/node'),
    emulator: { command: emulator, sysroot: base },
  };
  await fillCache(app, { ...runtime, ...emulated });
}

/**
 * Runs the bundle in `app` once to fill its caches. Node names its compile cache after the user that wrote
 * it and reads only that of its own user: here the image's. `muster serve` needs it least
 * (src/build/launcher.js).
 */
export async function fillCache(app: string, runtime?: Runtime): Promise<void> {
  const cache = join(app, 'cache');
  await warmUp(app, cache, runtime);
  for (const entry of readdirSync(cache)) {
    renameSync(join(cache, entry), join(cache, entry.replace(/\d+$/, String(USER))));
  }
}
