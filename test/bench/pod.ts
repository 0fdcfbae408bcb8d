/** `muster serve` with a function of the bench, for recovery.ts and pipeline.ts. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The table in which handlers record their starts. */
export const STARTED = `create table started (
  key text, attempt int, pid int, at_ms float8, at timestamptz not null default clock_timestamp())`;

/** A handler that records its start outside its transaction, visible to the bench; then works for `ms`. */
const FUNCTION = `
import pg from 'pg';
import { definitionOf } from '../test/bench/workload.ts';
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 4 });
pool.on('error', () => {});
export default {
  ...definitionOf({ rowsPerSet: 2, deadlines: true, completes: true }),
  async handle(set: { keyText: string }, context: { attempt: number; signal: AbortSignal }) {
    const begun = Date.now();
    await pool.query('insert into started (key, attempt, pid, at_ms) values ($1, $2, $3, $4)', [set.keyText, context.attempt, process.pid, begun]);
    const ms = Number(process.env['HANDLER_MS']);
    await new Promise((resolve) => setTimeout(resolve, ms));
  },
};
`;

export interface Pod {
  readonly child: ChildProcess;
  readonly url: string;
}

/** Copies the sources, with a `functions/` that contains only the bench's function. */
export function layOut(home: string): void {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, 'functions'), { recursive: true });
  for (const name of ['src', 'dev', 'test', 'package.json']) {
    cpSync(join(ROOT, name), join(home, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  writeFileSync(join(home, 'functions/bench.ts'), FUNCTION);
}

export async function startPod(
  home: string,
  url: string,
  settings: Readonly<Record<string, string>>,
): Promise<Pod> {
  const port = await freePort();
  const readiness = new Readiness();
  const child = spawn(process.execPath, [join(home, 'src/cli/muster.ts'), 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: url,
      FUNCTIONS_FOLDER: join(home, 'functions'),
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'error',
      DRAIN_SECONDS: '1',
      ...readiness.env,
      ...settings,
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  while (!(await readiness.at(`http://127.0.0.1:${port}`))) {
    if (child.exitCode !== null) throw new Error(`muster serve exited with ${child.exitCode}`);
    await sleep(20);
  }
  return { child, url: `http://127.0.0.1:${port}/` };
}

export async function endPod({ child }: Pod, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
}
