/**
 * The whole pipeline: the time from a row's COMMIT in PostgreSQL to the start of the handler of the set
 * that it completes, through Debezium, Kafka, a KafkaSource and `muster serve`; and the part of it before
 * Debezium has received the row, which consists of its log reader and its poll interval.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ensureDatastore } from '../../dev/demo/datastore.ts';
import { KafkaSource } from '../../dev/kafka-source/kafka-source.ts';
import { Random } from '../../dev/lib/random.ts';
import { insertSignal } from '../../dev/headband/signal.ts';
import { Broker } from '../../dev/stack/broker.ts';
import { Connect } from '../../dev/stack/connect.ts';
import { connection, CONNECTOR, SIGNAL_TABLE, SINGLE_NODE } from '../../dev/stack/connector.ts';
import { install } from '../../dev/stack/install.ts';
import { missingTools } from '../../dev/stack/tools.ts';
import { endPod, layOut, STARTED, startPod } from './pod.ts';
import {
  createDatabase,
  grid,
  percentile,
  same,
  type SectionContext,
  type SectionResult,
} from './section.ts';

/** Debezium's default, the value in dev/stack/connector.ts, and a shorter one. */
const INTERVALS = [500, Number(CONNECTOR['poll.interval.ms']), 20];

interface Latencies {
  readonly interval: number;
  /** Milliseconds from COMMIT to the start of the handler. */
  readonly whole: readonly number[];
  /** The part of it until Debezium had created the event. */
  readonly debezium: readonly number[];
}

export async function measurePipeline(context: SectionContext): Promise<SectionResult> {
  const { folder, quick, say } = context;
  const missing = missingTools();
  if (missing !== null) {
    say(`\nThe whole pipeline: skipped. ${missing}`);
    return { data: { skipped: missing }, verdicts: [] };
  }
  const installation = await install(say);
  const home = join(folder, 'pipeline');
  layOut(join(home, 'pod'));
  const ends: (() => Promise<unknown>)[] = [
    () => Promise.resolve(rmSync(home, { recursive: true, force: true })),
  ];
  const measured: Latencies[] = [];
  try {
    const broker = await Broker.start(installation, join(home, 'kafka'));
    ends.push(() => broker.stop());
    const connect = await Connect.start({
      installation,
      folder: join(home, 'connect'),
      broker: broker.address,
      connectors: [],
    });
    ends.push(() => connect.stop());
    const pairs = quick ? 10 : 250;
    for (const interval of quick ? INTERVALS.slice(1, 2) : INTERVALS) {
      measured.push(await measure(interval, pairs, broker, connect, join(home, 'pod'), context));
    }
  } finally {
    for (const end of ends.toReversed()) await end();
  }
  const rows = measured.map(({ interval, whole, debezium }) => [
    `${interval} ms${interval === 500 ? " (Debezium's default)" : ''}`,
    ms(whole, 0.5),
    ms(whole, 0.99),
    ms(debezium, 0.5),
    ms(debezium, 0.99),
    ms(
      whole.map((each, i) => each - debezium[i]!),
      0.5,
    ),
  ]);
  const head = [
    'poll.interval.ms',
    'p50 ms',
    'p99 ms',
    'until Debezium: p50',
    'p99',
    'after Debezium: p50',
  ];
  say(
    grid(
      `The whole pipeline: a row's COMMIT to the start of its handler, ${measured[0]!.whole.length} sets each`,
      head,
      rows,
    ),
  );
  return { data: measured, verdicts: [] };
}

function ms(values: readonly number[], p: number): string {
  return percentile(values, p).toFixed(0);
}

async function measure(
  interval: number,
  pairs: number,
  broker: Broker,
  connect: Connect,
  home: string,
  { postgres }: SectionContext,
): Promise<Latencies> {
  const name = `pipeline_${interval}`;
  const db = await createDatabase(postgres, name);
  const ends: (() => Promise<unknown>)[] = [() => db.drop()];
  try {
    await ensureDatastore(db.client);
    await db.client.query(SIGNAL_TABLE);
    await db.client.query(STARTED);
    const pod = await startPod(home, db.url, { HANDLER_MS: '0' });
    ends.push(() => endPod(pod, 'SIGTERM'));
    const topic = `${name}.datastore.signal`;
    await broker.createTopic(topic, 3);
    const config = {
      ...CONNECTOR,
      ...SINGLE_NODE,
      ...connection(db.url),
      'topic.prefix': name,
      'slot.name': name,
      'publication.name': name,
      'poll.interval.ms': String(interval),
    };
    await connect.add({ name, config });
    ends.push(async () => {
      await connect.remove(name);
      await dropSlot(db.client, name);
    });
    const eventAt = new Map<string, number>();
    const source = await KafkaSource.start({
      namespace: 'bench',
      name,
      brokers: [broker.address],
      topics: [topic],
      consumerGroup: name,
      sink: pod.url,
      ordering: 'unordered',
      initialOffset: 'earliest',
      on(happening) {
        if (happening.kind !== 'delivered' || happening.record.value === null) return;
        const value = JSON.parse(happening.record.value.toString()) as {
          after: { id: string };
          ts_ms: number;
        };
        eventAt.set(value.after.id, value.ts_ms);
      },
    });
    ends.push(() => source.stop());

    const random = new Random(1);
    const committedAt = new Map<string, number>();
    const warm = 5; // the first ones run code that is not compiled yet, in four processes
    for (let n = 0; n < pairs + warm; n++) {
      const recording = `0193b000-0000-7000-8000-${String(n).padStart(12, '0')}`;
      const signal = { recording, span: '[0,60000000000)' };
      const id = (kind: number) => `0193b00${kind}-0000-7000-8000-${String(n).padStart(12, '0')}`;
      await db.client.query(insertSignal({ ...signal, id: id(1), sensor: 'eeg' }, random));
      // irregular, so that no interval of any process is in step with them
      await sleep(n < warm ? 300 : 20 + 30 * random.next());
      await db.client.query(
        insertSignal({ ...signal, id: id(2), sensor: 'accelerometer' }, random),
      );
      committedAt.set(recording, Date.now());
    }
    const started = await allStarted(db.client, pairs + warm);
    const measured = [...committedAt].slice(warm);
    return {
      interval,
      whole: measured.map(([recording, at]) => started.get(recording)! - at),
      debezium: measured.map(
        ([recording, at]) => eventAt.get(recording.replace('0193b000', '0193b002'))! - at,
      ),
    };
  } finally {
    for (const end of ends.toReversed()) await end();
  }
}

type Client = Awaited<ReturnType<typeof createDatabase>>['client'];

/** Returns when the handler of each recording started. */
async function allStarted(client: Client, count: number): Promise<Map<string, number>> {
  for (
    const deadline = performance.now() + 60_000;
    performance.now() < deadline;
    await sleep(100)
  ) {
    const { rows } = await client.query<{ key: string; at_ms: number }>(
      'select key, at_ms from started',
    );
    if (rows.length < count) continue;
    same('the whole pipeline, handlers started', rows.length, count);
    await sleep(300); // the last answers are on their way to the source
    return new Map(rows.map(({ key, at_ms }) => [(JSON.parse(key) as [string])[0], at_ms]));
  }
  throw new Error('the whole pipeline: not all handlers have started within a minute');
}

async function dropSlot(client: Client, slot: string): Promise<void> {
  for (let tries = 0; tries < 50; tries++) {
    const { rows } = await client.query<{ active: boolean }>(
      'select active from pg_replication_slots where slot_name = $1',
      [slot],
    );
    if (rows[0] === undefined) return;
    if (!rows[0].active) await client.query('select pg_drop_replication_slot($1)', [slot]);
    else await sleep(100);
  }
}
