/**
 * Recovery: `muster serve` is killed by SIGKILL while it runs handlers; how long until each of those
 * runs has started again in another process? With the settings a pod has unless told otherwise.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, symlinkSync, writeFileSync, cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { freePort } from '../../src/dev/free-port.ts';
import { fillSets } from './filled.ts';
import {
  atMost,
  createDatabase,
  grid,
  medianOf,
  same,
  type SectionContext,
  type SectionResult,
} from './section.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** As many as a pod runs at a time unless told otherwise. */
const RUNS = 16;

/** Notes its start where the bench can see it, outside of its transaction; then works for `ms`. */
const FUNCTION = `
import pg from 'pg';
import { definitionOf } from '../test/bench/workload.ts';
const pool = new pg.Pool({ connectionString: process.env['DATABASE_URL'], max: 4 });
pool.on('error', () => {});
export default {
  ...definitionOf({ rowsPerSet: 2, timers: true, completes: true }),
  async handle(set: { keyText: string }, context: { attempt: number; signal: AbortSignal }) {
    await pool.query('insert into started (key, attempt, pid) values ($1, $2, $3)', [set.keyText, context.attempt, process.pid]);
    const ms = Number(process.env['HANDLER_MS']);
    await new Promise((resolve) => setTimeout(resolve, ms));
  },
};
`;

interface Kill {
  /** From the kill to the start of the first and of the last of its runs elsewhere, in seconds. */
  readonly first: number;
  readonly last: number;
}

export async function measureRecovery(context: SectionContext): Promise<SectionResult> {
  const { postgres, folder, quick, say } = context;
  const rounds = quick ? 1 : 3;
  const db = await createDatabase(postgres, 'recovery');
  await db.client.query(
    'create table started (key text, attempt int, pid int, at timestamptz not null default clock_timestamp())',
  );
  const home = join(folder, 'recovery');
  layOut(home);
  const pods: ChildProcess[] = [];
  const serve = async (handlerMs: number, leaseSeconds: number | null) => {
    const pod = await start(home, db.url, handlerMs, leaseSeconds);
    pods.push(pod);
    return pod;
  };
  const kills: Kill[] = [];
  try {
    const lease = quick ? 1 : null;
    for (let round = 0; round < rounds; round++) {
      const dying = await serve(600_000, lease);
      await fillSets(db.client, { from: round * RUNS, sets: RUNS, rowsPerSet: 2, state: 'ready' });
      await until(db.client, 1, RUNS * (round + 1));
      const other = await serve(0, lease);
      // somewhere within the lease, not right after it was renewed
      await sleep(quick ? 100 : 1_000 + 1_300 * round);
      const { rows } = await db.client.query<{ now: Date }>('select clock_timestamp() as now');
      await end(dying, 'SIGKILL');
      await until(db.client, 2, RUNS * (round + 1));
      kills.push(await timesOf(db.client, round, rows[0]!.now, other.pid!));
      await end(other, 'SIGTERM');
    }
    const { rows } = await db.client.query(
      `select count(*)::int as done from muster.run where state = 'done' and attempt = 2`,
    );
    same('recovery, runs done by their second attempt', rows[0].done, RUNS * rounds);
  } finally {
    for (const pod of pods) await end(pod, 'SIGKILL');
    rmSync(home, { recursive: true, force: true });
    await db.drop();
  }
  const rows = kills.map(({ first, last }, i) => [
    `kill ${i + 1}`,
    first.toFixed(2),
    last.toFixed(2),
  ]);
  const title = `Recovery: kill -9 of a process with ${RUNS} runs in flight, to their start in another${quick ? ' (LEASE_SECONDS=1)' : ''}`;
  say(grid(title, ['seconds until', 'first run', 'last run'], rows));
  const worst = Math.max(...kills.map(({ last }) => last));
  const median = medianOf(kills.map(({ last }) => last));
  const verdict = atMost(
    `recovery after kill -9 in seconds, worst (median ${median.toFixed(1)})`,
    worst,
    15,
  );
  return { data: kills, verdicts: [verdict] };
}

/** The sources, with a `functions/` of one function of the bench's. */
function layOut(home: string): void {
  rmSync(home, { recursive: true, force: true });
  mkdirSync(join(home, 'functions'), { recursive: true });
  for (const name of ['src', 'test', 'package.json'])
    cpSync(join(ROOT, name), join(home, name), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(home, 'node_modules'));
  writeFileSync(join(home, 'functions/bench.ts'), FUNCTION);
}

async function start(
  home: string,
  url: string,
  handlerMs: number,
  leaseSeconds: number | null,
): Promise<ChildProcess> {
  const port = await freePort();
  const pod = spawn(process.execPath, [join(home, 'src/cli/muster.ts'), 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: url,
      HOST: '127.0.0.1',
      PORT: String(port),
      LOG_LEVEL: 'error',
      HANDLER_MS: String(handlerMs),
      DRAIN_SECONDS: '1',
      ...(leaseSeconds !== null && { LEASE_SECONDS: String(leaseSeconds) }),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const ready = () => fetch(`http://127.0.0.1:${port}/health/readiness`).catch(() => null);
  while ((await ready())?.ok !== true) {
    if (pod.exitCode !== null) throw new Error(`muster serve ended with ${pod.exitCode}`);
    await sleep(20);
  }
  return pod;
}

async function end(pod: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (pod.exitCode !== null || pod.signalCode !== null) return;
  const gone = once(pod, 'exit');
  pod.kill(signal);
  await gone;
}

/** Waits until so many runs have started at that attempt. */
async function until(client: pg.Client, attempt: number, count: number): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { rows } = await client.query<{ n: number }>(
      'select count(distinct key)::int as n from started where attempt = $1',
      [attempt],
    );
    if (rows[0]!.n >= count) return;
    if (performance.now() > deadline)
      throw new Error(`recovery: ${rows[0]!.n} of ${count} runs have begun attempt ${attempt}`);
    await sleep(20);
  }
}

async function timesOf(client: pg.Client, round: number, killed: Date, pid: number): Promise<Kill> {
  const { rows } = await client.query<{ n: number; first: number; last: number }>(
    `select count(*)::int as n, extract(epoch from min(at) - $1)::float8 as first,
            extract(epoch from max(at) - $1)::float8 as last
     from started where attempt = 2 and pid = $2 and at > $1`,
    [killed, pid],
  );
  same(`recovery, runs of kill ${round + 1} started elsewhere`, rows[0]!.n, RUNS);
  return rows[0]!;
}
