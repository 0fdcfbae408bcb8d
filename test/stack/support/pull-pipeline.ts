import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { Kafka, logLevel, type Admin, type Message, type Producer } from 'kafkajs';
import type { Broker } from '../../../dev/stack/broker.ts';
import { NUMBERS } from '../../support/numbers.ts';
import { TestProcess } from '../../support/process.ts';
import type { TestDatabase } from '../../support/test.ts';
import { until } from '../../support/until.ts';
import { muster } from '../../cli/command.ts';
import type { Stack } from './stack.ts';
import { lagOf } from './topic.ts';

const PULL = fileURLToPath(new URL('pull.ts', import.meta.url));

/** From a topic to a projection: Kafka, and processes with `INTAKE=kafka`. */
export class PullPipeline {
  readonly db: TestDatabase;
  readonly stack: Stack;
  readonly topic = `numbers-${randomUUID().slice(0, 8)}`;
  readonly group = `muster-${this.topic}`;
  readonly #ends: (() => unknown)[] = [];
  #address = '';
  #kafka: Kafka | undefined;
  #producer: Producer | undefined;
  #admin: Admin | undefined;
  /** The count and sum of the produced records. */
  readonly produced = { records: 0, sum: 0 };

  constructor(stack: Stack, db: TestDatabase) {
    this.stack = stack;
    this.db = db;
  }

  async start(
    partitions: number,
    config: Readonly<Record<string, string>> = {},
    broker?: Pick<Broker, 'address'>,
  ): Promise<void> {
    await this.db.query(NUMBERS);
    const { address } = broker ?? (await this.stack.broker());
    this.#address = address;
    this.#kafka = new Kafka({ brokers: [address], logLevel: logLevel.NOTHING });
    this.#admin = this.#kafka.admin();
    this.#producer = this.#kafka.producer({ idempotent: true });
    await Promise.all([this.#admin.connect(), this.#producer.connect()]);
    this.#ends.push(() => Promise.all([this.#admin!.disconnect(), this.#producer!.disconnect()]));
    await this.createTopic(partitions, config);
  }

  async createTopic(partitions: number, config: Readonly<Record<string, string>> = {}) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.admin.createTopics({
      topics: [{ topic: this.topic, numPartitions: partitions, configEntries }],
      waitForLeaders: true,
    });
  }

  /** Deletes and recreates the topic. */
  async remake(partitions: number): Promise<void> {
    await this.admin.deleteTopics({ topics: [this.topic] });
    await until(async () => !(await this.admin.listTopics()).includes(this.topic));
    await this.createTopic(partitions);
    // a client that knew the old topic still uses it
    await this.#producer!.disconnect();
    this.#producer = this.#kafka!.producer({ idempotent: true });
    await this.#producer.connect();
  }

  get admin(): Admin {
    return this.#admin!;
  }

  get kafka(): Kafka {
    return this.#kafka!;
  }

  /** Creates a client without cached metadata. */
  another(): Kafka {
    return new Kafka({ brokers: [this.#address], logLevel: logLevel.NOTHING });
  }

  /** Stops everything that the test started, the newest first. */
  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  /** Produces numbers from 1 on, to the partitions in turn. */
  async produce(count: number, partitions: number): Promise<void> {
    for (let done = 0; done < count; done += 5_000) {
      const size = Math.min(5_000, count - done);
      const messages = Array.from({ length: size }, (_, i) => ({
        partition: (done + i) % partitions,
        value: JSON.stringify({ n: done + i + 1 }),
      }));
      await this.send(messages);
      for (let i = 0; i < size; i++) this.produced.sum += done + i + 1;
      this.produced.records += size;
    }
  }

  async send(messages: Message[]): Promise<void> {
    await this.#producer!.send({ topic: this.topic, messages });
  }

  /** Starts a process that serves the projection, or another script; resolves when it listens. */
  async serve(env: Readonly<Record<string, string>> = {}, script = PULL): Promise<TestProcess> {
    const child = new TestProcess(script, [], {
      DATABASE_URL: this.db.url,
      HOST: '127.0.0.1',
      PORT: '0',
      INTAKE: 'kafka',
      KAFKA_BROKERS: this.#address,
      KAFKA_GROUP: this.group,
      LEASE_SECONDS: '3',
      NUMBERS: this.topic,
      ...env,
    });
    this.#ends.push(async () => {
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await child.exited;
    });
    return child.serving();
  }

  /** Deletes the records below these offsets, by partition. */
  async forget(...offsets: number[]): Promise<void> {
    const partitions = offsets.map((offset, partition) => ({ partition, offset: String(offset) }));
    // kafkajs finds leaders only in metadata that it has requested
    await this.admin.fetchTopicOffsets(this.topic);
    await this.admin.deleteTopicRecords({ topic: this.topic, partitions });
  }

  /** Runs `muster <args>` on this database; returns its output. */
  async muster(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await muster({ DATABASE_URL: this.db.url }, args);
    if (code !== 0) throw new Error(stderr);
    return stdout;
  }

  /** The projection's count and sum. */
  async folded(): Promise<{ records: number; sum: number }> {
    const [row] = await this.db.query<{ records: string; sum: string }>(
      'select coalesce(sum(records), 0) as records, coalesce(sum(sum), 0) as sum from total',
    );
    return { records: Number(row!.records), sum: Number(row!.sum) };
  }

  /** Resolves when this number of records is folded. */
  async until(records: number, ms = 40_000): Promise<void> {
    await until(async () => (await this.folded()).records >= records, ms);
  }

  /** Resolves when the process has folded a record. */
  async appliedBy({ pid }: TestProcess): Promise<void> {
    await until(
      async () => (await this.db.query('select from applied where pid = $1', [pid])).length > 0,
      30_000,
    );
  }

  async health(process: TestProcess): Promise<{ status: number; text: string }> {
    const response = await fetch(`${process.url}/health/readiness`);
    return { status: response.status, text: await response.text() };
  }

  /** Returns the sum of a counter of the process. */
  async metric(process: TestProcess, name: string): Promise<number> {
    const text = await (await fetch(`${process.url}/metrics`)).text();
    return text
      .split('\n')
      .filter((line) => line.startsWith(name))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  /** Returns the number of records that the group has not committed. */
  async lag(): Promise<bigint> {
    return lagOf(this.kafka, this.topic, this.group);
  }
}

/** Returns the partitions last assigned to a process; null before it joined. */
export function assignedTo(process: TestProcess): number[] | null {
  const line = process.log.findLast(({ msg }) => msg === 'partitions assigned');
  const assignment = line?.['assignment'] as Record<string, number[]> | undefined;
  return assignment === undefined ? null : Object.values(assignment).flat();
}
