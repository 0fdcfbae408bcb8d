import { build } from 'esbuild';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tidySourceMaps } from '../../src/build/source-maps.ts';
import { write } from '../package/support/project.ts';

test('the map of a function names its sources by their paths in the project, and other packages have none', async () => {
  const project = realpathSync(mkdtempSync(join(tmpdir(), 'muster-maps-')));
  onTestFinished(() => rmSync(project, { recursive: true, force: true }));
  write(project, {
    'functions/a.ts': `import { used } from 'used';
      export const load = () => import('loaded');
      export default used;`,
    'node_modules/used/index.js': 'export const used = () => 1;',
    'node_modules/loaded/index.js': 'export const loaded = () => 2;',
  });
  const folder = join(project, 'elsewhere/dist');
  const { metafile } = await build({
    absWorkingDir: project,
    entryPoints: [{ in: 'functions/a.ts', out: 'functions/a' }],
    outdir: folder,
    chunkNames: 'src/[name]',
    bundle: true,
    splitting: true,
    format: 'esm',
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
  });
  tidySourceMaps(metafile, { folder, project, muster: join(project, 'node_modules/muster/') });

  const read = (file: string) => readFileSync(join(folder, file), 'utf8');
  const { sources } = JSON.parse(read('functions/a.js.map')) as { sources: string[] };
  expect(sources.toSorted()).toEqual(['../node_modules/used/index.js', 'a.ts']);
  expect(read('functions/a.js')).toContain('//# sourceMappingURL=a.js.map');
  const [chunk, ...more] = readdirSync(join(folder, 'src'));
  expect(more).toEqual([]);
  expect(read(`src/${chunk}`)).not.toContain('sourceMappingURL');
});
