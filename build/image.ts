import { mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { writeArchive, type Start } from './archive.ts';
import { USER, writeBase } from './base.ts';
import { bundle } from './bundle.ts';
import { warmUp } from './warm-up.ts';

const { version, license } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string; license: string };

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
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': license,
  },
};

/** The layers of the image as folders: `base` is the root, `app` is `/app`. */
export function layersOf(folder: string): { readonly folder: string; readonly at: string }[] {
  return [
    { folder: join(folder, 'base'), at: '' },
    { folder: join(folder, 'app'), at: '/app' },
  ];
}

/** Writes the content of the image into a folder: one layer that rarely changes, and one that often does. */
export async function writeImage(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeBase(join(folder, 'base'));
  const app = join(folder, 'app');
  await bundle(app);
  await fillCache(app);
}

/**
 * Runs the bundle in `app` once to fill its caches. Node names its compile cache after the user that wrote
 * it and reads only that of its own user: here the image's. `muster serve` needs it least
 * (build/muster.js).
 */
export async function fillCache(
  app: string,
  runtime?: Parameters<typeof warmUp>[2],
): Promise<void> {
  const cache = join(app, 'cache');
  await warmUp(app, cache, runtime);
  for (const entry of readdirSync(cache)) {
    renameSync(join(cache, entry), join(cache, entry.replace(/\d+$/, String(USER))));
  }
}

if (import.meta.main) {
  const [folder = 'image', archive, name = 'muster'] = process.argv.slice(2);
  await writeImage(resolve(folder));
  if (archive !== undefined) {
    const file = resolve(archive);
    const digest = writeArchive({ name, layers: layersOf(resolve(folder)), start: START, file });
    process.stdout.write(`${digest}\n`);
  }
}
