/** The bundle of this repository: its functions, and the simulators that knative/upstream starts beside them. */
import type { Metafile } from 'esbuild';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from '../src/build/bundle.ts';
import { warmUp } from '../src/build/warm-up.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const SIMULATORS = ['headband', 'sensors'];

/** Writes the bundle into a folder, which it replaces; `more` adds or replaces entry points. */
export function bundleAll(
  folder: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Metafile> {
  const simulators = SIMULATORS.map((name) => [`dev/${name}`, `dev/${name}/${name}.ts`]);
  return bundle(folder, {
    more: { ...(Object.fromEntries(simulators) as Record<string, string>), ...more },
    copied: ['dev/demo/datastore.sql'],
  });
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(root, 'dist/bundle'));
  await bundleAll(folder);
  await warmUp(folder, join(folder, 'cache'));
}
