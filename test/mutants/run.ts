/**
 * Takes guards away one by one, in a copy of the project, and shows that a test notices each. A mutant
 * that survives, or a test that fails without one, ends with exit code 1.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MUTANTS, type Mutant } from './mutants.ts';

const HERE = fileURLToPath(new URL('../../', import.meta.url));
const COPIED = [
  'src',
  'functions',
  'test',
  'package.json',
  'vitest.config.ts',
  'tsconfig.json',
  'README.md',
];

interface Report {
  readonly numTotalTests: number;
  readonly testResults: readonly {
    readonly assertionResults: readonly { readonly status: string; readonly title: string }[];
  }[];
}

interface Run {
  readonly passed: boolean;
  /** Titles of tests that failed; empty although it did not pass: the run itself broke. */
  readonly failed: readonly string[];
}

function main(only: readonly string[]): void {
  const mutants = MUTANTS.filter(
    ({ name }) => only.length === 0 || only.some((word) => name.includes(word)),
  );
  const copy = mkdtempSync(join(tmpdir(), 'muster-mutants-'));
  try {
    for (const name of COPIED) cpSync(join(HERE, name), join(copy, name), { recursive: true });
    symlinkSync(join(HERE, 'node_modules'), join(copy, 'node_modules'));
    checkBaseline(copy, new Set(mutants.flatMap((mutant) => mutant.tests)));
    const survivors = mutants.filter((mutant) => !isFound(copy, mutant));
    process.stdout.write(`\n${mutants.length - survivors.length} of ${mutants.length} found\n`);
    if (survivors.length > 0) process.exitCode = 1;
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Without a mutant every test passes, or the table would prove nothing. */
function checkBaseline(copy: string, tests: ReadonlySet<string>): void {
  const { passed, failed } = runTests(copy, [...tests], false);
  if (!passed)
    throw new Error(`tests fail without a mutant: ${failed.join('; ') || 'they did not run'}`);
  process.stdout.write(`${tests.size} test files pass without a mutant\n\n`);
}

function isFound(copy: string, mutant: Mutant): boolean {
  const path = join(copy, mutant.file);
  const text = readFileSync(path, 'utf8');
  const places = text.split(mutant.find).length - 1;
  if (places !== 1)
    throw new Error(`'${mutant.name}': its text stands ${places} times in ${mutant.file}`);
  const startedAt = performance.now();
  writeFileSync(
    path,
    text.replace(mutant.find, () => mutant.replace),
  );
  try {
    for (const file of mutant.tests) {
      const { passed, failed } = runTests(copy, [file], true);
      if (passed) continue;
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(0);
      if (failed.length === 0) throw new Error(`'${mutant.name}': ${file} did not run`);
      process.stdout.write(
        `found     ${mutant.name}\n          ${file}: ${failed[0]} (${seconds} s)\n`,
      );
      return true;
    }
    process.stdout.write(`SURVIVED  ${mutant.name}\n          ${mutant.tests.join(', ')}\n`);
    return false;
  } finally {
    writeFileSync(path, text);
  }
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
  const { status } = spawnSync(process.execPath, [vitest, ...args], { cwd: copy, stdio: 'ignore' });
  let report: Report;
  try {
    report = JSON.parse(readFileSync(output, 'utf8')) as Report;
  } catch {
    return { passed: false, failed: [] };
  }
  const failed = report.testResults
    .flatMap((file) => file.assertionResults)
    .filter((test) => test.status === 'failed')
    .map((test) => test.title);
  return { passed: status === 0 && report.numTotalTests > 0, failed };
}

main(process.argv.slice(2));
