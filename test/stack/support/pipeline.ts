import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { ensureDatastore } from '../../../dev/demo/datastore.ts';
import { countSets, summarise, type Summary } from '../../../dev/demo/numbers.ts';
import { freePort } from '../../../src/local/port.ts';
import { KafkaSource, type KafkaSourceOptions } from '../../../dev/kafka-source/kafka-source.ts';
import { Random } from '../../../dev/lib/random.ts';
import { insertSignal, type Sensor, type Signal } from '../../../dev/headband/signal.ts';
import type { Connect } from '../../../dev/stack/connect.ts';
import {
  connection,
  type Connector,
  CONNECTOR,
  SIGNAL_TABLE,
  SINGLE_NODE,
} from '../../../dev/stack/connector.ts';
import { TestProcess } from '../../support/process.ts';
import type { TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import type { Stack } from './stack.ts';
import { lagOf, recordsOf, type TopicRecord } from './topic.ts';

const MUSTER = fileURLToPath(new URL('../../../src/cli/muster.ts', import.meta.url));
const SOURCE = fileURLToPath(new URL('../../../dev/kafka-source/main.ts', import.meta.url));
const SPAN = 60_000_000_000;

/** Retries in such quick succession that even a test's outage is long. */
const QUICK = {
  retry: 1_000,
  backoffPolicy: 'linear',
  backoffDelay: 5,
  timeout: 10_000,
} as const;

/** The pipeline from a row's commit to its handler: PostgreSQL, Debezium, Kafka, a KafkaSource, `muster serve`. */
export class Pipeline {
  readonly db: TestDatabase;
  readonly stack: Stack;
  /** The name of the connector, slot, publication, topic prefix and consumer group. */
  readonly name = `t${randomUUID().slice(0, 8)}`;
  readonly topic = `${this.name}.datastore.signal`;
  readonly #random = new Random(1);
  readonly #ends: (() => unknown)[] = [];
  readonly sources: KafkaSource[] = [];
  /** Settings of the function beside the usual ones. */
  env: Readonly<Record<string, string>> = {};
  #client: pg.Client | undefined;
  #fn: TestProcess | undefined;
  #port = 0;

  constructor(stack: Stack, db: TestDatabase) {
    this.stack = stack;
    this.db = db;
  }

  /** Stops everything that the test started, the newest first. */
  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  /** Prepares the tables, the topic and a function, without a connector. */
  async prepare(databaseUrl = this.db.url): Promise<void> {
    this.#client = new pg.Client(this.db.url);
    await this.#client.connect();
    this.#ends.push(() => this.#client!.end());
    await ensureDatastore(this.#client);
    await this.#client.query(SIGNAL_TABLE);
    const broker = await this.stack.broker();
    await broker.createTopic(this.topic, 3);
    this.#port = await freePort();
    await this.startFunction(databaseUrl);
  }

  /** Starts everything: tables, function, connector, source. */
  async start(
    config: Readonly<Record<string, string>> = {},
    source: Partial<KafkaSourceOptions> = {},
  ): Promise<void> {
    const connect = this.stack.connect();
    await this.prepare();
    await Promise.all([
      connect.then(async (worker) => this.addConnector(worker, config)),
      this.startSource(source),
    ]);
  }

  get client(): pg.Client {
    return this.#client!;
  }

  /** The address of the function, which restarts don't change. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  get fn(): TestProcess {
    return this.#fn!;
  }

  /** Starts `muster serve`, on the port of the previous process. */
  async startFunction(databaseUrl = this.db.url): Promise<TestProcess> {
    const fn = new TestProcess(MUSTER, ['serve'], {
      DATABASE_URL: databaseUrl,
      FUNCTIONS: 'recordings',
      HOST: '127.0.0.1',
      PORT: String(this.#port),
      LEASE_SECONDS: '2',
      DEADLINE_GRACE_SECONDS: '0',
      SINK: 'stdout',
      ...this.env,
    });
    this.#fn = fn;
    this.#ends.push(async () => {
      fn.kill('SIGKILL');
      await fn.exited;
    });
    return fn.serving();
  }

  connector(config: Readonly<Record<string, string>> = {}): Connector {
    return {
      name: this.name,
      config: {
        ...CONNECTOR,
        ...SINGLE_NODE,
        ...connection(this.db.url),
        'topic.prefix': this.name,
        'slot.name': this.name,
        'publication.name': this.name,
        'signal.poll.interval.ms': '100',
        ...config,
      },
    };
  }

  async addConnector(
    connect: Connect,
    config: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await connect.add(this.connector(config));
    this.#ends.push(() => this.removeConnector(connect));
  }

  async removeConnector(connect: Connect): Promise<void> {
    await connect.remove(this.name).catch(() => {});
    await this.dropSlot();
  }

  async dropSlot(): Promise<void> {
    await until(async () => {
      const slots = await this.db.query<{ active: boolean }>(
        'select active from pg_replication_slots where slot_name = $1',
        [this.name],
      );
      return slots.every(({ active }) => !active);
    });
    await this.db.query(
      'select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1',
      [this.name],
    );
  }

  /** Starts a separate Connect worker for the connector, which a test may kill. */
  async ownConnect(
    config: Readonly<Record<string, string>> = {},
    offsetFlushInterval?: number,
  ): Promise<Connect> {
    const connect = await this.stack.ownConnect([this.connector(config)], offsetFlushInterval);
    this.#ends.push(async () => {
      await connect.kill();
      await this.dropSlot();
    });
    return connect;
  }

  /** Starts a KafkaSource in this process. */
  async startSource(options: Partial<KafkaSourceOptions> = {}): Promise<KafkaSource> {
    const source = await KafkaSource.start({
      brokers: [(await this.stack.broker()).address],
      topics: [this.topic],
      consumerGroup: this.name,
      namespace: 'default',
      name: 'signals',
      sink: this.url,
      ordering: 'unordered',
      initialOffset: 'earliest',
      delivery: QUICK,
      ...options,
    });
    this.sources.push(source);
    this.#ends.push(() => source.stop());
    return source;
  }

  /** Starts a KafkaSource in a separate process; resolves when it consumes. */
  async startSourceProcess(...flags: string[]): Promise<TestProcess> {
    const broker = await this.stack.broker();
    const args = `--brokers ${broker.address} --topic ${this.topic} --sink ${this.url} --group ${this.name}
      --initial-offset earliest --commit-interval PT1S --session-timeout PT3S
      --retry 1000 --backoff-policy linear --backoff-delay PT0.005S`;
    const process = new TestProcess(SOURCE, [...args.split(/\s+/), ...flags], {});
    this.#ends.push(async () => {
      process.kill('SIGKILL');
      await process.exited;
    });
    await until(() => {
      if (process.hasExited) throw new Error(`the source exited: ${process.stderr}`);
      return process.log.some(({ msg }) => msg === 'consuming');
    }, 40_000);
    return process;
  }

  /** Inserts the two signals of a set, in a new recording. */
  pair(): [eeg: Signal, accelerometer: Signal] {
    const where = { recording: randomUUID(), span: `[0,${SPAN})` };
    const signal = (sensor: Sensor): Signal => ({ id: randomUUID(), ...where, sensor });
    return [signal('eeg'), signal('accelerometer')];
  }

  async insert(...signals: Signal[]): Promise<void> {
    for (const signal of signals) await this.client.query(insertSignal(signal, this.#random));
  }

  /** Requests an incremental snapshot: Debezium sends every row of the table again while it streams. */
  async snapshot(): Promise<void> {
    const data = { 'data-collections': ['datastore.signal'], type: 'incremental' };
    await this.client.query(
      `insert into debezium.dbz_signal values (gen_random_uuid(), 'execute-snapshot', $1)`,
      [JSON.stringify(data)],
    );
  }

  /** Resolves when this number of sets is processed. */
  async processed(n: number): Promise<void> {
    await until(async () => (await summarise(this.client)).processed >= n, 40_000);
  }

  /**
   * Waits until every written row has been processed, and compares the table with the processed sets. A
   * last pair is sent through the whole pipeline behind everything else; after that, no record may be left
   * in Kafka and no run be due.
   */
  async settled(): Promise<Summary> {
    const last = this.pair();
    await this.insert(...last);
    await until(async () => {
      const { rowCount } = await this.client.query(
        'select from recordings.processed where recording = $1',
        [last[0].recording],
      );
      return rowCount! > 0;
    }, 100_000);
    await until(async () => {
      await Promise.all(this.sources.map((each) => each.commit()));
      return (await this.lag()) === 0n;
    }, 40_000);
    await until(async () => {
      const { complete, running } = await countSets(this.client);
      return complete + running === 0;
    }, 40_000);
    return summarise(this.client);
  }

  /** Returns the number of records in the topic that the consumer group has not committed. */
  async lag(): Promise<bigint> {
    return lagOf(await this.kafka(), this.topic, this.name);
  }

  /** Returns all records now in a topic, by default that of the signals. */
  async records(topic = this.topic): Promise<TopicRecord[]> {
    return recordsOf(await this.kafka(), topic);
  }

  /** Returns the sum of a counter of the function over the labels that contain the text. */
  async count(metric: string, label = ''): Promise<number> {
    const text = await (await fetch(`${this.url}metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(metric) && line.includes(label))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async kafka(): Promise<Kafka> {
    const { address } = await this.stack.broker();
    return new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
  }
}
