/**
 * The road without Kafka: one `muster serve` with `INTAKE=wal` that reads the tables of its own database. The time
 * from a row's COMMIT to the start of the handler of the set that it completes, and the rate out of a backlog, with
 * handlers paused as in the other measurements of intake.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ensureDatastore } from '../../dev/demo/datastore.ts';
import { Random } from '../../dev/lib/random.ts';
import { freePort } from '../../src/local/port.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import type { Started, WalStart } from './wal-worker.ts';
import {
  atLeast,
  atMost,
  createDatabase,
  grid,
  percentile,
  same,
  whole,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';

const WORKER = fileURLToPath(new URL('wal-worker.ts', import.meta.url));
const SLOT = 'bench';
/** Rows of one transaction of the backlog. */
const TRANSACTION = 64;

/** Inserts signals of one kind, for the recordings from $1 on; $3 makes their ids differ. */
const INSERT = `
  insert into datastore.signal (id, recording, span, sensor_label, sensor_type, data, sample_rate)
  select format('0193b00%s-0000-7000-8000-%s', $3::text, lpad(to_hex(n), 12, '0'))::uuid,
         format('0193b000-0000-7000-8000-%s', lpad(to_hex(n), 12, '0'))::uuid, '[0,60)', $4, $4, 'x', 250
  from generate_series($1::int, $1::int + $2::int - 1) n`;

const insert = ({ client }: BenchDatabase, from: number, rows: number, sensor: string) =>
  client.query(INSERT, [from, rows, sensor === 'eeg' ? '1' : '2', sensor]);

export async function measureWal(context: SectionContext): Promise<SectionResult> {
  const { quick, say, postgres } = context;
  const db = await createDatabase(postgres, 'wal', 'schema');
  try {
    await ensureDatastore(db.client);
    const latency = await measureLatency(db, quick ? 10 : 300);
    const backlog = await measureBacklog(db, quick ? 4_096 : 204_800, postgres.pid);
    const p50 = percentile(latency, 0.5);
    say(
      grid(
        `The road without Kafka: ${latency.length} sets one by one, then a backlog of ${whole(backlog.changes)} changes`,
        ['', 'COMMIT to handler: p50 ms', 'p99 ms', 'changes/s', 'CPU µs: Node', 'PostgreSQL'],
        [
          [
            'one process',
            p50.toFixed(1),
            percentile(latency, 0.99).toFixed(1),
            whole(backlog.rate),
            backlog.nodeUs.toFixed(1),
            backlog.postgresUs.toFixed(1),
          ],
        ],
      ),
    );
    return {
      data: { latency, ...backlog },
      verdicts: [
        atMost('without Kafka, COMMIT to handler, p50 ms', p50, 10),
        atLeast('without Kafka, changes/s out of a backlog', backlog.rate, 20_000),
      ],
    };
  } finally {
    await db.client.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
      [SLOT],
    );
    await db.drop();
  }
}

interface Pod {
  readonly child: ChildProcess;
  readonly port: number;
}

async function startPod(url: string): Promise<Pod> {
  const port = await freePort();
  const start: WalStart = { url, slot: SLOT, port };
  const child = fork(WORKER, [JSON.stringify(start)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  return { child, port };
}

async function stopPod({ child }: Pod): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGTERM');
  await gone;
}

/** Returns the milliseconds from COMMIT to the start of the handler of each set. */
async function measureLatency(db: BenchDatabase, sets: number): Promise<number[]> {
  const pod = await startPod(db.url);
  try {
    await reached(pod, 'muster_wal_reading', 1);
    const startedAt = new Map<string, number>();
    pod.child.on('message', ({ recording, at }: Started) => startedAt.set(recording, at));
    const random = new Random(1);
    const committedAt = new Map<string, number>();
    const warm = 20; // the first ones run code that is not compiled yet
    for (let n = 0; n < sets + warm; n++) {
      const recording = `0193b000-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
      await insert(db, n, 1, 'eeg');
      await sleep(20 + 30 * random.next());
      await insert(db, n, 1, 'accelerometer');
      committedAt.set(recording, performance.timeOrigin + performance.now());
    }
    for (const end = performance.now() + 30_000; startedAt.size < committedAt.size;) {
      if (performance.now() > end) throw new Error('not all handlers have started');
      await sleep(50);
    }
    return [...committedAt].slice(warm).map(([recording, at]) => startedAt.get(recording)! - at);
  } finally {
    await stopPod(pod);
  }
}

/** Measured without the first fifth, in which code is compiled. */
async function measureBacklog(db: BenchDatabase, changes: number, postgres: number) {
  await db.client.query('update muster.function set paused = true');
  const first = 1_000_000;
  // The rows of a set are a thousand changes apart.
  for (let n = 0; n < changes / 2; n += 1_024) {
    for (const sensor of ['eeg', 'accelerometer']) {
      for (let i = 0; i < 1_024; i += TRANSACTION) {
        await insert(db, first + n + i, TRANSACTION, sensor);
      }
    }
  }
  const before = await membersOf(db);
  const pod = await startPod(db.url);
  const look = async (events: number) => {
    await reached(pod, 'muster_wal_changes_total{kind="change"}', events);
    const cpu = [cpuOf(pod.child.pid!), cpuOfPostgres(postgres)] as const;
    const count = await metric(pod, 'muster_wal_changes_total{kind="change"}');
    return { count, at: performance.now(), cpu };
  };
  try {
    const begin = await look(changes / 5);
    const end = await look(changes);
    same('without Kafka, rows in sets', (await membersOf(db)) - before, changes);
    const measured = end.count - begin.count;
    return {
      changes,
      rate: measured / ((end.at - begin.at) / 1000),
      nodeUs: (end.cpu[0] - begin.cpu[0]) / measured,
      postgresUs: (end.cpu[1] - begin.cpu[1]) / measured,
    };
  } finally {
    await stopPod(pod);
  }
}

async function membersOf({ client }: BenchDatabase): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'select count(*)::int as n from muster.member where in_set',
  );
  return rows[0]!.n;
}

async function reached(pod: Pod, name: string, value: number): Promise<void> {
  for (const end = performance.now() + 300_000; (await metric(pod, name)) < value;) {
    if (pod.child.exitCode !== null) throw new Error('muster serve has exited');
    if (performance.now() > end) throw new Error(`${name} has not reached ${value}`);
    await sleep(20);
  }
}

/** Returns a metric of the process; 0 while it does not answer. */
async function metric({ port }: Pod, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => null);
  const lines = ((await answer?.text()) ?? '').split('\n');
  return Number(
    lines
      .find((line) => line.startsWith(`${name} `))
      ?.split(' ')
      .at(-1) ?? 0,
  );
}
