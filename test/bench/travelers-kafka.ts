import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import { Broker } from '../../dev/stack/broker.ts';
import { install } from '../../dev/stack/install.ts';
import { missingTools } from '../../dev/stack/tools.ts';
import { migrate } from '../../src/state/schema/migrate.ts';
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import { createDatabase, grid, whole, type BenchDatabase, type SectionContext } from './section.ts';
import { Records } from './travelers-records.ts';

const MUSTER = fileURLToPath(new URL('../../src/cli/muster.ts', import.meta.url));
const TOPIC = 'movements';
const PARTITIONS = 12;
const BATCH = 10_000;
const RECORDS = 2_000_000;

export interface FromKafka {
  readonly rate: number;
  /** CPU is in microseconds per record. */
  readonly nodeUs: number;
  readonly postgresUs: number;
  readonly brokerUs: number;
}

/** Measures one `muster serve` that consumes a full topic of a broker on the same machine; null without Java. */
export async function measureFromKafka(context: SectionContext): Promise<FromKafka | null> {
  const { folder, say, postgres } = context;
  const missing = missingTools();
  if (missing !== null) {
    say(`\nTravelers from Kafka: skipped. ${missing}`);
    return null;
  }
  const home = join(folder, 'travelers-kafka');
  const broker = await Broker.start(await install(say), home);
  const db = await createDatabase(postgres, 'travelers_kafka');
  try {
    await migrate(db.url, ['travelers']);
    await broker.createTopic(TOPIC, PARTITIONS);
    await fill(broker, await Records.make(RECORDS));
    const measured = await measure(db, broker, postgres.pid);
    const head = ['', 'records/s', 'CPU µs/record: Node', 'PostgreSQL', 'Kafka'];
    const { rate, nodeUs, postgresUs, brokerUs } = measured;
    const row = [
      'one process',
      whole(rate),
      ...[nodeUs, postgresUs, brokerUs].map((us) => us.toFixed(1)),
    ];
    say(
      grid(`Travelers from Kafka: ${whole(RECORDS)} records, ${PARTITIONS} partitions`, head, [
        row,
      ]),
    );
    return measured;
  } finally {
    await db.drop();
    await broker.stop();
    rmSync(home, { recursive: true, force: true });
  }
}

async function fill(broker: Broker, records: Records): Promise<void> {
  const kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING });
  const producer = kafka.producer({ allowAutoTopicCreation: false });
  await producer.connect();
  for (let begin = 0; begin < records.count; begin += BATCH) {
    const length = Math.min(BATCH, records.count - begin);
    const messages = Array.from({ length }, (_, i) => ({
      value: records.at(begin + i),
      partition: (begin + i) % PARTITIONS,
    }));
    await producer.send({ topic: TOPIC, messages });
  }
  await producer.disconnect();
}

/** Measured without the first fifth, in which code is compiled. */
async function measure(
  { url, client }: BenchDatabase,
  broker: Broker,
  postgresPid: number,
): Promise<FromKafka> {
  const pod = spawn(process.execPath, [MUSTER, 'serve'], {
    env: {
      PATH: process.env['PATH'],
      DATABASE_URL: url,
      FUNCTIONS: 'travelers',
      INTAKE: 'kafka',
      KAFKA_BROKERS: broker.address,
      HOST: '127.0.0.1',
      PORT: '0',
      LOG_LEVEL: 'error',
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const gone = once(pod, 'exit');
  const look = async () => {
    const { rows } = await client.query<{ n: number }>(
      'select coalesce(sum(next), 0)::float8 as n from muster.position',
    );
    return {
      n: rows[0]!.n,
      at: performance.now(),
      node: cpuOf(pod.pid!),
      postgres: cpuOfPostgres(postgresPid),
      broker: cpuOf(broker.pid),
    };
  };
  const reached = async (n: number) => {
    for (;;) {
      const now = await look();
      if (now.n >= n) return now;
      if (pod.exitCode !== null) throw new Error(`muster serve exited with ${pod.exitCode}`);
      await sleep(50);
    }
  };
  try {
    const begin = await reached(RECORDS / 5);
    const end = await reached(RECORDS);
    const records = end.n - begin.n;
    return {
      rate: records / ((end.at - begin.at) / 1000),
      nodeUs: (end.node - begin.node) / records,
      postgresUs: (end.postgres - begin.postgres) / records,
      brokerUs: (end.broker - begin.broker) / records,
    };
  } finally {
    pod.kill('SIGTERM');
    await gone;
  }
}
