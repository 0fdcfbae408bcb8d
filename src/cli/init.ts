import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { fileURLToPath } from 'node:url';
import { quoteForShell } from '../lib/quote-for-shell.ts';
import { VERSION } from '../lib/version.ts';
import { printResult, type JsonOption } from './print-result.ts';

const TEMPLATE = fileURLToPath(new URL('../local/template/', import.meta.url));

/** Files of the template under other names: npm leaves out a `.gitignore`, and tools would take others for their own. */
const NAMES: Readonly<Record<string, string>> = {
  '_package.json': 'package.json',
  '_tsconfig.json': 'tsconfig.json',
  '_README.md': 'README.md',
  _Dockerfile: 'Dockerfile',
  _dockerignore: '.dockerignore',
  _gitignore: '.gitignore',
};

export interface InitOptions extends JsonOption {
  readonly yes?: true;
  /** Version range or file of the package on which the project depends. */
  readonly package?: string;
}

/** Writes a new project into a folder, by default the working directory. Existing files are kept. */
export async function run(folder = '.', options: InitOptions = {}): Promise<void> {
  const { yes, package: source = `^${VERSION}` } = options;
  const target = resolve(folder);
  if (existsSync(target) && !statSync(target).isDirectory()) {
    throw new Error(`${folder} is a file: name a folder`);
  }
  const isUsed = existsSync(target) && readdirSync(target).some((name) => name !== '.git');
  if (isUsed && yes !== true && process.stdin.isTTY && !(await isAgreed(target))) return;

  const files = readdirSync(TEMPLATE, { recursive: true, encoding: 'utf8' }).filter((file) =>
    statSync(join(TEMPLATE, file)).isFile(),
  );
  const created = new Set<string>();
  for (const file of files.toSorted()) {
    const name = NAMES[file] ?? file;
    const text = readFileSync(join(TEMPLATE, file), 'utf8');
    if (!isCreated(join(target, name), file in NAMES ? filledIn(text, target, source) : text)) {
      printResult(options, { file: name, created: false }, `kept     ${name}, which exists`);
      continue;
    }
    created.add(name);
    printResult(options, { file: name, created: true }, `created  ${name}`);
  }
  const place = relative(process.cwd(), target);
  const enter =
    place === '' ? null : `cd ${/^[\w./-]+$/.test(place) ? place : quoteForShell(place)}`;
  if (options.json === true) return;
  if (!created.has('package.json')) {
    process.stdout.write(needed(target, source, enter));
    return;
  }
  const next = [enter, 'npm install', 'npm test', 'npm run dev'].filter((each) => each !== null);
  process.stdout.write(`\nNext: ${next.join(' && ')}\n`);
}

/** Writes a file unless something has its name, even a link that leads nowhere. */
function isCreated(path: string, text: string): boolean {
  mkdirSync(dirname(path), { recursive: true });
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

interface Manifest {
  readonly type?: string;
  readonly scripts?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest;
}

/** What a package.json that was kept lacks, as commands that keep what it has. */
function needed(target: string, source: string, enter: string | null): string {
  const own = readManifest(join(target, 'package.json'));
  const ours = readManifest(join(TEMPLATE, '_package.json'));
  const has = { ...own.dependencies, ...own.devDependencies };
  const tools = Object.entries(ours.devDependencies!).filter(([name]) => !(name in has));
  const scripts = Object.entries(ours.scripts!).filter(([name]) => !(name in (own.scripts ?? {})));
  const fields = scripts.map(([name, script]) => quoteForShell(`scripts.${name}=${script}`));
  const packages = tools.map(([name, range]) => quoteForShell(`${name}@${range}`));
  const commands = [
    ...('musterjs' in has ? [] : [`npm install ${quoteForShell(`musterjs@${source}`)}`]),
    ...(packages.length === 0 ? [] : [`npm install --save-dev ${packages.join(' ')}`]),
    ...(fields.length === 0 ? [] : [`npm pkg set ${fields.join(' ')}`]),
    ...(own.type === 'module'
      ? []
      : [
          `npm pkg set type=module   # functions are ES modules; so are all its other .js files then`,
        ]),
  ];
  if (commands.length === 0) return '\npackage.json is kept, and lacks nothing.\n';
  return `\npackage.json is kept. Add what it lacks:\n${[...(enter === null ? [] : [enter]), ...commands].map((line) => `  ${line}\n`).join('')}`;
}

async function isAgreed(target: string): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question(
    `${target} is not empty. Its files are kept. Create the missing ones? (Y/n) `,
  );
  terminal.close();
  return !/^n/i.test(answer.trim());
}

/** Fills in the name of the project, which npm restricts, and the source of the package. */
function filledIn(text: string, target: string, source: string): string {
  const name = basename(target)
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, '-')
    .replace(/^[._-]+/, '');
  return text.replaceAll('NAME', name || 'functions').replaceAll('SOURCE', source);
}
