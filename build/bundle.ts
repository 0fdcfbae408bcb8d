import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import { cpSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { functionFiles } from '../src/definitions/function-files.ts';
import { consoleEntries, writePages } from './consoles.ts';
import { noticesOf } from './notices.ts';
import { warmUp } from './warm-up.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The simulators that knative/upstream starts in addition to the functions. */
const SIMULATORS = ['headband', 'sensors'];

/** Options of both builds. */
const COMMON = {
  absWorkingDir: root,
  bundle: true,
  metafile: true,
  platform: 'node',
  target: 'node24',
  // Keeps names and lines for stack traces; minifying would not make it start faster.
  minifySyntax: true,
  legalComments: 'none',
  // Optional dependencies that packages try to load.
  external: ['pg-native', 'supports-color'],
} satisfies BuildOptions;

/**
 * Writes the image's programs into a folder, which it replaces: `muster.js`, which runs `src/serve.cjs`
 * for `muster serve` and `src/muster.js` and its chunks for every other command, `functions/<name>.js`,
 * `consoles/<name>.js`, `dev/<simulator>.js`, and the files that are read at run time, each at its path
 * in the sources. Modules that are imported on demand (migrations, the other commands) are chunks that
 * are loaded only then.
 *
 * `more` adds or replaces entry points: sources by their name in the bundle.
 */
export async function bundle(
  folder: string,
  more: Readonly<Record<string, string>> = {},
): Promise<Metafile> {
  rmSync(folder, { recursive: true, force: true });
  const usual = [
    { in: 'src/cli/muster.ts', out: 'src/muster' },
    { in: 'src/runs/heartbeat-thread.ts', out: 'src/runs/heartbeat-thread' },
    ...SIMULATORS.map((name) => ({ in: `dev/${name}/${name}.ts`, out: `dev/${name}` })),
    ...[...functionFiles()].map(([name, file]) => ({
      in: `functions/${file}`,
      out: `functions/${name}`,
    })),
    ...consoleEntries(root),
  ];
  const modules = await build({
    ...COMMON,
    entryPoints: [
      ...usual.filter(({ out }) => !(out in more)),
      ...Object.entries(more).map(([out, source]) => ({ in: source, out })),
    ],
    outdir: folder,
    chunkNames: 'src/[name]-[hash]',
    splitting: true,
    format: 'esm',
    // CommonJS packages load Node's modules with `require`.
    banner: {
      js: `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);`,
    },
    plugins: [textsOfStatements, placesOfSources],
  });
  const script = await build({
    ...COMMON,
    entryPoints: ['src/cli/serve-alone.ts'],
    outfile: join(folder, 'src/serve.cjs'),
    format: 'cjs',
    // Wrapped in a function, which muster.js calls.
    banner: {
      js: `(function (require, __filename, importModule) {
const urlOfFile = require('node:url').pathToFileURL(__filename).href;`,
    },
    footer: { js: '})' },
    define: { 'import.meta.url': 'urlOfFile' },
    // `import` in a script makes Node print a warning that this is experimental.
    supported: { 'dynamic-import': false },
    plugins: [textsOfStatements, functionsByLauncher, placesOfSources],
  });
  const metafile = {
    inputs: { ...modules.metafile.inputs, ...script.metafile.inputs },
    outputs: { ...modules.metafile.outputs, ...script.metafile.outputs },
  };
  const parts = [
    'src/state/schema/migrations',
    'src/state/schema/grants.sql',
    'dev/demo/datastore.sql',
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
  cpSync(join(root, 'build/muster.js'), join(folder, 'muster.js'));
  return metafile;
}

/** Resolves `import.meta` to a source's own path. All outputs are one folder deep, so one path fits all. */
const placesOfSources: Plugin = {
  name: 'places of sources',
  setup(made) {
    made.onLoad({ filter: /\/(?:src|functions|dev)\/.*\.ts$/ }, ({ path }) => {
      const place = `../${path.slice(root.length).replace(/\.ts$/, '.js')}`;
      const contents = readFileSync(path, 'utf8').replaceAll(
        'import.meta.url',
        `new URL(${JSON.stringify(place)}, import.meta.url).href`,
      );
      return { contents, loader: 'ts' };
    });
  },
};

/** Keeps functions as separate modules, which muster.js imports for the script. */
const functionsByLauncher: Plugin = {
  name: 'functions by launcher',
  setup(made) {
    made.onLoad({ filter: /\/src\/definitions\/import-function\.ts$/ }, () => ({
      contents: `import { functionsFolder } from './function-files.ts';
        export const importFunction = (file) => importModule(new URL(file, functionsFolder()).href);`,
      loader: 'js',
    }));
  },
};

/** Replaces `src/state/sql.ts`, which reads a file per statement, by a module that contains them all. */
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
