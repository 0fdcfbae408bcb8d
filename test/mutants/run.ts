/**
 * Removes guards one by one in a copy of the project and shows that a test detects each removal. Prints a
 * table; exits with code 1 if a mutant survives, or if a test fails without a mutant. Words on the command
 * line select mutants by name; `--shard=1/2` runs every second one, starting with the first, so that
 * several runs can share the work.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEMO_MUTANTS } from './demo.ts';
import { EDGE_MUTANTS } from './edge.ts';
import { EVENT_MUTANTS } from './events.ts';
import { INTAKE_MUTANTS } from './intake.ts';
import { BINLOG_MUTANTS } from './binlog.ts';
import { DEFINITION_MUTANTS } from './definition.ts';
import { LOCAL_MUTANTS } from './local.ts';
import { MUTANTS, type Mutant } from './mutants.ts';
import { NEIGHBOUR_MUTANTS } from './neighbours.ts';
import { OUTGOING_MUTANTS } from './outgoing.ts';
import { SCHEMA_MUTANTS } from './schemas.ts';
import { PROCESS_MUTANTS } from './process.ts';
import { SOURCE_MUTANTS } from './sources.ts';
import { PULLING_MUTANTS } from './pulling.ts';
import { RECONCILE_MUTANTS } from './reconcile.ts';
import { ROLLOUT_MUTANTS } from './rollout.ts';
import { RUN_MUTANTS } from './runs.ts';
import { STATE_MUTANTS } from './state.ts';
import { SESSION_MUTANTS } from './sessions.ts';
import { TRAVELERS_MUTANTS } from './travelers.ts';
import { WAL_MUTANTS } from './wal.ts';

const HERE = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = [
  'src',
  'dev',
  'build',
  'docs',
  'functions',
  'keda',
  'knative',
  'docs',
  'test',
  'package.json',
  'vitest.config.ts',
  'tsconfig.json',
  'README.md',
];
/** Timeout of a test file, longer than any takes: a mutant may make it hang. */
const PATIENCE_MS = 180_000;

interface Report {
  readonly numTotalTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

/** `index` counts from 0. */
interface Shard {
  readonly index: number;
  readonly count: number;
}

/** `failed` holds the titles of failed tests, `files` the paths of their files. */
type Run =
  | { readonly kind: 'passed' | 'hangs' | 'broken' }
  | {
      readonly kind: 'failed';
      readonly failed: readonly string[];
      readonly files: readonly string[];
    };

function main(words: readonly string[], shard: Shard): void {
  const mutants = [
    ...MUTANTS,
    ...INTAKE_MUTANTS,
    ...SCHEMA_MUTANTS,
    ...DEFINITION_MUTANTS,
    ...NEIGHBOUR_MUTANTS,
    ...OUTGOING_MUTANTS,
    ...PROCESS_MUTANTS,
    ...SOURCE_MUTANTS,
    ...BINLOG_MUTANTS,
    ...EDGE_MUTANTS,
    ...EVENT_MUTANTS,
    ...PULLING_MUTANTS,
    ...RECONCILE_MUTANTS,
    ...ROLLOUT_MUTANTS,
    ...RUN_MUTANTS,
    ...STATE_MUTANTS,
    ...SESSION_MUTANTS,
    ...TRAVELERS_MUTANTS,
    ...DEMO_MUTANTS,
    ...LOCAL_MUTANTS,
    ...WAL_MUTANTS,
  ]
    .filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)))
    .filter((_, position) => position % shard.count === shard.index);
  for (const mutant of mutants) requireText(mutant);
  const copy = mkdtempSync(join(tmpdir(), 'muster-mutants-'));
  chmodSync(copy, 0o755); // a test runs as another user
  try {
    for (const name of COPIED) cpSync(join(HERE, name), join(copy, name), { recursive: true });
    symlinkSync(join(HERE, 'node_modules'), join(copy, 'node_modules'));
    requirePassing(copy, new Set(mutants.flatMap((mutant) => mutant.tests)));
    const width = Math.max(...mutants.map(({ name }) => name.length));
    writeRow(width, ['mutant', 'where', 's', 'found by']);
    const survivors = mutants.filter((mutant) => !isFound(copy, mutant, width));
    process.stdout.write(`\n${mutants.length - survivors.length} of ${mutants.length} found\n`);
    if (survivors.length > 0) process.exitCode = 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Checks that the text a mutant replaces occurs exactly once in its file; otherwise the mutant is outdated. */
function requireText({ name, file, find }: Mutant): void {
  const places = readFileSync(join(HERE, file), 'utf8').split(find).length - 1;
  if (places !== 1) throw new Error(`'${name}': its text occurs ${places} times in ${file}`);
}

/**
 * Checks that every test passes without a mutant; otherwise the table would prove nothing. Files that fail side by side
 * with others, on a machine that is too small for that, are run again as with a mutant: alone.
 */
function requirePassing(copy: string, tests: ReadonlySet<string>): void {
  const all = runTests(copy, [...tests], false);
  for (const file of all.kind === 'failed' ? all.files : []) {
    const run = runTests(copy, [file], false);
    if (run.kind === 'passed') continue;
    const what = run.kind === 'failed' ? run.failed.join('; ') : run.kind;
    throw new Error(`${file} fails without a mutant: ${what}`);
  }
  if (all.kind === 'broken' || all.kind === 'hangs') {
    throw new Error(`the tests without a mutant: ${all.kind}`);
  }
  process.stdout.write(`${tests.size} test files pass without a mutant\n\n`);
}

function isFound(copy: string, mutant: Mutant, width: number): boolean {
  const path = join(copy, mutant.file);
  const text = readFileSync(path, 'utf8');
  const startedAt = performance.now();
  const row = (verdict: string) => {
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
    writeRow(width, [mutant.name, basename(mutant.file), seconds, verdict]);
  };
  writeFileSync(
    path,
    text.replace(mutant.find, () => mutant.replace),
  );
  try {
    for (const file of mutant.tests) {
      const run = runTests(copy, [file], true);
      if (run.kind === 'passed') continue;
      if (run.kind === 'broken') {
        row(`ERROR, ${file} did not run`);
        return false;
      }
      row(`${file}: ${run.kind === 'failed' ? run.failed[0] : 'it hangs'}`);
      return true;
    }
    row(`NONE, it survived ${mutant.tests.join(', ')}`);
    return false;
  } finally {
    writeFileSync(path, text);
  }
}

function writeRow(width: number, [name, where, seconds, found]: [string, string, string, string]) {
  process.stdout.write(
    `${name.padEnd(width)}  ${where.padEnd(18)}  ${seconds.padStart(3)}  ${found}\n`,
  );
}

function runTests(copy: string, files: readonly string[], bail: boolean): Run {
  const output = join(copy, 'report.json');
  rmSync(output, { force: true });
  const vitest = join(copy, 'node_modules', 'vitest', 'vitest.mjs');
  const args = [
    'run',
    ...files,
    '--reporter=json',
    `--outputFile=${output}`,
    ...(bail ? ['--bail=1'] : []),
  ];
  const { status, error } = spawnSync(process.execPath, [vitest, ...args], {
    cwd: copy,
    stdio: 'ignore',
    timeout: bail ? PATIENCE_MS : 5 * PATIENCE_MS,
  });
  if ((error as { code?: string } | undefined)?.code === 'ETIMEDOUT') return { kind: 'hangs' };
  let report: Report;
  try {
    report = JSON.parse(readFileSync(output, 'utf8')) as Report;
  } catch {
    return { kind: 'broken' };
  }
  const failed = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status === 'failed')
    .map((test) => test.title);
  const failedFiles = report.testResults
    .filter((each) => each.status === 'failed')
    .map(({ name }) => relative(copy, name));
  if (failed.length > 0) return { kind: 'failed', failed, files: failedFiles };
  return { kind: status === 0 && report.numTotalTests > 0 ? 'passed' : 'broken' };
}

/** Parses `--shard=1/2`; without it one run includes every mutant. */
function readShard(flags: readonly string[]): Shard {
  const flag = flags.find((word) => word.startsWith('--shard='));
  if (flag === undefined) return { index: 0, count: 1 };
  const [number, count] = flag.slice('--shard='.length).split('/').map(Number);
  if (!number || !count || number > count) throw new Error(`'${flag}' should be like --shard=1/2`);
  return { index: number - 1, count };
}

const args = process.argv.slice(2);
main(
  args.filter((word) => !word.startsWith('--')),
  readShard(args),
);
