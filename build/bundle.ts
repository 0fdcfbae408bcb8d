import { build, type Metafile, type Plugin } from 'esbuild';
import { cpSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { functionFiles } from '../src/function-files.ts';
import { consoleEntries, writePages } from './consoles.ts';
import { noticesOf } from './notices.ts';
import { warmUp } from './warm-up.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What knative/upstream starts beside the functions: who writes the rows. */
const SIMULATORS = ['headband', 'sensors'];

/**
 * Writes what the image runs into a folder, which it replaces: `muster.js`, which is `src/muster.js`,
 * and its chunks, `functions/<name>.js`, `consoles/<name>.js`, `dev/<simulator>.js`, and beside them the
 * files that are read at run time, each at the path it has in the sources. What is imported on demand
 * (migrations, the other commands) is a chunk that nobody loads until then.
 *
 * Everything is built at once: bundled on its own, a function would throw a `TerminalError` that is
 * not the one the runner knows. `more` are further entry points, or others in place of these: sources
 * by their name in the bundle.
 */
export async function bundle(
  folder: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Metafile> {
  rmSync(folder, { recursive: true, force: true });
  const usual = [
    { in: 'src/cli/muster.ts', out: 'src/muster' },
    ...SIMULATORS.map((name) => ({ in: `src/dev/${name}.ts`, out: `dev/${name}` })),
    ...[...functionFiles()].map(([name, file]) => ({
      in: `functions/${file}`,
      out: `functions/${name}`,
    })),
    ...consoleEntries(root),
  ];
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      ...usual.filter(({ out }) => !(out in more)),
      ...Object.entries(more).map(([out, source]) => ({ in: source, out })),
    ],
    outdir: folder,
    chunkNames: 'src/[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Names and lines stay, so that a stack trace says where; minified it starts no sooner.
    minifySyntax: true,
    legalComments: 'none',
    // Asked for by packages that do without them.
    external: ['pg-native', 'supports-color'],
    // CommonJS packages ask for Node's modules by `require`.
    banner: {
      js: `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);`,
    },
    metafile: true,
    plugins: [textsOfStatements, placesOfSources],
  });
  const parts = [
    'src/state/migrations',
    'src/state/grants.sql',
    'src/dev/datastore.sql',
    'functions',
  ];
  for (const part of parts) {
    cpSync(join(root, part), join(folder, part), {
      recursive: true,
      filter: (from) => !from.endsWith('.ts') && !from.endsWith('/console'),
    });
  }
  const inputs = [...Object.keys(metafile.inputs), ...(await writePages(root, folder))];
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  writeFileSync(join(folder, 'NOTICES.txt'), noticesOf(root, inputs));
  symlinkSync('src/muster.js', join(folder, 'muster.js'));
  return metafile;
}

/** All outputs lie one folder deep, so that each source's own place can be told from any of them. */
const placesOfSources: Plugin = {
  name: 'places of sources',
  setup(made) {
    made.onLoad({ filter: /\/(?:src|functions)\/.*\.ts$/ }, ({ path }) => {
      const place = `../${path.slice(root.length).replace(/\.ts$/, '.js')}`;
      const contents = readFileSync(path, 'utf8').replaceAll(
        'import.meta.url',
        `new URL(${JSON.stringify(place)}, import.meta.url).href`,
      );
      return { contents, loader: 'ts' };
    });
  },
};

/** `src/state/sql.ts` reads a file for each statement; its stand-in carries them all. */
const textsOfStatements: Plugin = {
  name: 'texts of statements',
  setup(made) {
    made.onLoad({ filter: /\/src\/state\/sql\.ts$/ }, () => {
      const folder = join(root, 'src/state/sql');
      const texts = Object.fromEntries(
        readdirSync(folder).map((file) => [
          file.replace(/\.sql$/, ''),
          readFileSync(join(folder, file), 'utf8'),
        ]),
      );
      const contents = `const texts = ${JSON.stringify(texts, null, 1)};
        export const sql = (name) => ({ name, text: texts[name] });`;
      return { contents, loader: 'js' };
    });
  },
};

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(root, 'dist'));
  await bundle(folder);
  await warmUp(folder, join(folder, 'cache'));
}
