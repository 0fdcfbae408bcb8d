/** Projects outside of this repository that use the packed tarball, as its users do. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writePackage } from '../../../build/package.ts';
import { oncePerRun } from '../../support/once-per-run.ts';

const run = promisify(execFile);

/** What a command printed, and its exit code. */
export interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The packed package. */
export interface Packed {
  /** Folder with its content. */
  readonly content: string;
  readonly tarball: string;
}

/** Packs the package, once per test run. */
export async function pack(): Promise<Packed> {
  return oncePerRun('package', packInto);
}

async function packInto(folder: string): Promise<Packed> {
  const content = join(folder, 'package');
  await writePackage(content);
  await run('npm', ['pack', '--silent', '--pack-destination', folder], { cwd: content });
  const [tarball] = readdirSync(folder).filter((name) => name.endsWith('.tgz'));
  return { content, tarball: join(folder, tarball!) };
}

/** An empty folder, with a space in its path. */
export function emptyFolder(): string {
  return mkdtempSync(join(tmpdir(), 'muster user-'));
}

/** Writes files into a folder. */
export function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(join(folder, name, '..'), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

/** The environment of a user's shell: without what vitest, and the npm that started it, have added. */
export function userEnvironment(): NodeJS.ProcessEnv {
  const added =
    /^(?:VITEST|NODE_ENV$|NODE_OPTIONS$|npm_(?:lifecycle|package|execpath|node)|TEST$|MODE$|DEV$|PROD$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !added.test(name)));
}

/** A user of this machine that is not the one of the test. */
export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** Runs a command in a folder, as a user would. */
export async function command(
  folder: string,
  line: readonly string[],
  env: Readonly<Record<string, string>> = {},
  user?: User,
): Promise<Result> {
  const [program, ...args] = line;
  const all = { ...userEnvironment(), ...env };
  const options = { cwd: folder, env: all, maxBuffer: 1 << 24, ...user };
  try {
    const running = run(program!, args, options);
    running.child.stdin?.end(); // npm reads it
    return { code: 0, ...(await running) };
  } catch (error) {
    const { code, stdout, stderr } = error as Result;
    return { code, stdout, stderr };
  }
}
