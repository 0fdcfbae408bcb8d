/**
 * The pull road for sets: one `muster serve` with `INTAKE=kafka` that reads a full topic of a broker on the same
 * machine. Its handlers are paused, as in the other measurements of intake.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { freePort } from '../../src/local/port.ts';
import { Broker } from '../../dev/stack/broker.ts';
import { install } from '../../dev/stack/install.ts';
import { missingTools } from '../../dev/stack/tools.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import type { PullStart } from './pull-worker.ts';
import {
  atLeast,
  createDatabase,
  grid,
  same,
  whole,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';
import { recordOf, type Workload } from './workload.ts';

const WORKER = fileURLToPath(new URL('pull-worker.ts', import.meta.url));
const PAIRS: Workload = { rowsPerSet: 2, deadlines: true, completes: true };
const TOPIC = 'bench.datastore.signal';
const PARTITIONS = 12;
/** Records of one request of the producer. */
const REQUEST = 5_000;

export async function measurePull(context: SectionContext): Promise<SectionResult> {
  const { folder, say, quick } = context;
  const missing = missingTools();
  if (missing !== null) {
    say(`\nThe pull road: skipped. ${missing}`);
    return { data: { skipped: missing }, verdicts: [] };
  }
  const records = quick ? 2_048 : 307_200;
  const home = join(folder, 'pull');
  const broker = await Broker.start(await install(say), home);
  const db = await createDatabase(context.postgres, 'pull', 'schema');
  try {
    await broker.createTopic(TOPIC, PARTITIONS);
    await fill(broker, records);
    const measured = await measure(db, broker, records, context);
    const { rate, nodeUs, postgresUs, brokerUs } = measured;
    const head = ['', 'events/s', 'CPU µs/event: Node', 'PostgreSQL', 'Kafka'];
    const cpu = [nodeUs, postgresUs, brokerUs].map((us) => us.toFixed(1));
    const title = `The pull road: ${whole(records)} events, ${PARTITIONS} partitions, handlers paused`;
    say(grid(title, head, [['one process', whole(rate), ...cpu]]));
    return { data: measured, verdicts: [atLeast('pull road, events/s', rate, 60_000)] };
  } finally {
    await db.drop();
    await broker.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

async function fill(broker: Broker, records: number): Promise<void> {
  const kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  for (let begin = 0; begin < records; begin += REQUEST) {
    const length = Math.min(REQUEST, records - begin);
    const messages = Array.from({ length }, (_, i) => ({
      value: recordOf(begin + i, PAIRS),
      partition: (begin + i) % PARTITIONS,
    }));
    await producer.send({ topic: TOPIC, messages });
  }
  await producer.disconnect();
}

interface Look {
  readonly events: number;
  readonly at: number;
  readonly cpu: readonly [node: number, postgres: number, broker: number];
}

/** Measured without the first fifth, in which code is compiled. */
async function measure(
  { url, client }: BenchDatabase,
  broker: Broker,
  records: number,
  { postgres }: SectionContext,
) {
  const port = await freePort();
  const start: PullStart = { url, broker: broker.address, topic: TOPIC, port, workload: PAIRS };
  const pod = fork(WORKER, [JSON.stringify(start)], {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const gone = once(pod, 'exit');
  const reached = async (events: number): Promise<Look> => {
    for (;;) {
      const cpu = [cpuOf(pod.pid!), cpuOfPostgres(postgres.pid), cpuOf(broker.pid)] as const;
      const now = { events: await ingested(port), at: performance.now(), cpu };
      if (now.events > 0) await client.query('update muster.function set paused = true');
      if (now.events >= events) return now;
      if (pod.exitCode !== null) throw new Error(`muster serve exited with ${pod.exitCode}`);
      await sleep(20);
    }
  };
  try {
    const begin = await reached(records / 5);
    const end = await reached(records);
    const { rows } = await client.query<{ members: number; complete: number }>(
      `select (select count(*)::int from muster.member where in_set) as members,
              (select count(*)::int from muster.sets where complete) as complete`,
    );
    same('pull road, rows and complete sets', rows[0], { members: records, complete: records / 2 });
    const events = end.events - begin.events;
    const us = (i: 0 | 1 | 2) => (end.cpu[i] - begin.cpu[i]) / events;
    return {
      rate: events / ((end.at - begin.at) / 1000),
      nodeUs: us(0),
      postgresUs: us(1),
      brokerUs: us(2),
    };
  } finally {
    pod.kill('SIGTERM');
    await gone;
  }
}

/** Events that the process has ingested, by its metrics; 0 while it does not answer. */
async function ingested(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => null);
  const text = (await answer?.text()) ?? '';
  return Number(/^muster_events_total\{outcome="ingested"\} (\d+)$/m.exec(text)?.[1] ?? 0);
}
