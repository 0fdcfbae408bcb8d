import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import pg from 'pg';
import { KAFKA_SOURCE } from '../demo/courier.ts';
import { type Happening, KafkaSource } from '../kafka-source/kafka-source.ts';
import { timed } from '../lib/timed.ts';
import { Broker } from './broker.ts';
import { Connect } from './connect.ts';
import { connection, CONNECTOR, SIGNAL_TABLE, SINGLE_NODE, TOPIC } from './connector.ts';
import type { Installation } from './install.ts';

export interface KafkaPipelineOptions {
  readonly installation: Installation;
  /** The database with `datastore.signal`. */
  readonly url: string;
  /** The function's address. */
  readonly sink: string;
  /** The folder for the data of Kafka and Connect. */
  readonly folder: string;
  readonly say: (line: string) => void;
}

const GROUP = 'muster-demo';
/** The topic of the messages that `pg_logical_emit_message` writes. */
const MESSAGES = `${CONNECTOR['topic.prefix']}.message`;
/** Enough retries never to drop an event while the demo runs, with short delays to find a new pod soon. */
const DELIVERY = {
  retry: 1_000_000,
  backoffPolicy: 'linear',
  backoffDelay: 10,
  timeout: 30_000,
} as const;

/** The pipeline from the table to the function, as in production: Debezium, Kafka, a KafkaSource. */
export class KafkaPipeline {
  /** Resolves only if Kafka or Connect exits unexpectedly. */
  readonly failed: Promise<Error>;
  readonly #options: KafkaPipelineOptions;
  readonly #ends: (() => unknown)[] = [];
  readonly #fail: (error: Error) => void;
  #client!: pg.Client;
  #admin!: Admin;
  #broker!: Broker;
  #source!: KafkaSource;
  #lag = 0;
  #isStopping = false;

  private constructor(options: KafkaPipelineOptions) {
    const { promise, resolve } = Promise.withResolvers<Error>();
    this.failed = promise;
    this.#fail = resolve;
    this.#options = options;
  }

  /** Resolves when everything runs (5-9 s). */
  static async start(options: KafkaPipelineOptions): Promise<KafkaPipeline> {
    const pipeline = new KafkaPipeline(options);
    try {
      await pipeline.#start();
    } catch (error) {
      await pipeline.stop();
      throw error;
    }
    return pipeline;
  }

  /** Kafka's address. */
  get broker(): string {
    return this.#broker.address;
  }

  /** The number of events that were answered 2xx. */
  get delivered(): number {
    return this.#source.counts.delivered;
  }

  /** The number of records whose offset is not committed, which KEDA scales by; half a second old. */
  get lag(): number {
    return this.#lag;
  }

  /** Resolves when every earlier commit in the database is delivered and its offset committed. */
  async caughtUp(): Promise<void> {
    const before = await this.#end(MESSAGES);
    // In the log it comes after everything else.
    await this.#client.query(`select pg_logical_emit_message(true, 'demo', '')`);
    while (!this.#isStopping && (await this.#end(MESSAGES)) <= before) await sleep(50);
    // Twice, because another partition may receive its records a moment after the message.
    for (let times = 0; !this.#isStopping && times < 2; await sleep(100)) {
      await this.#source.commit();
      await this.#measure();
      times = this.#lag === 0 ? times + 1 : 0;
    }
  }

  /** Events that are not delivered are sent again after the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    for (const end of this.#ends.splice(0).toReversed()) {
      await Promise.resolve(end()).catch(() => {});
    }
  }

  async #start(): Promise<void> {
    const { installation, url, folder, say } = this.#options;
    this.#client = new pg.Client(url);
    this.#client.on('error', () => {}); // the next query reports it
    await this.#client.connect();
    this.#ends.push(() => this.#client.end());
    await this.#client.query(SIGNAL_TABLE);

    const broker = await timed(say, 'Kafka', Broker.start(installation, join(folder, 'kafka')));
    this.#broker = broker;
    this.#watch(broker);
    await broker.createTopic(TOPIC, 3);
    await broker.createTopic(MESSAGES, 1);
    this.#admin = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING }).admin();
    await this.#admin.connect();
    this.#ends.push(() => this.#admin.disconnect());

    const config = { ...CONNECTOR, ...SINGLE_NODE, ...connection(url) };
    const connecting = Connect.start({
      installation,
      folder: join(folder, 'connect'),
      broker: broker.address,
      connectors: [{ name: CONNECTOR['slot.name'], config }],
    });
    this.#watch(await timed(say, 'Debezium', connecting));
    await this.#consume(broker.address);
  }

  async #consume(broker: string): Promise<void> {
    this.#source = await KafkaSource.start({
      ...KAFKA_SOURCE,
      brokers: [broker],
      topics: [TOPIC],
      consumerGroup: GROUP,
      sink: this.#options.sink,
      ordering: 'unordered',
      initialOffset: 'earliest',
      delivery: DELIVERY,
      commitInterval: 1_000,
      sessionTimeout: 3_000, // the next start waits this long for one that was killed
      on: (happening) => this.#note(happening),
    });
    this.#ends.push(() => this.#source.stop());
    const measuring = setInterval(() => void this.#measure().catch(() => {}), 500);
    this.#ends.push(() => clearInterval(measuring));
  }

  #watch(program: { readonly ended: Promise<string>; stop(): Promise<void> }): void {
    this.#ends.push(() => program.stop());
    void program.ended.then((how) => this.#fail(new Error(how)));
  }

  #note(happening: Happening): void {
    if (happening.kind === 'lost') {
      const { partition, offset } = happening.record;
      const { error, answer } = happening.failure;
      const why = `${error} ${answer?.body.toString() ?? ''}`;
      this.#options.say(`the function permanently refused event ${partition}:${offset}: ${why}`);
    }
  }

  async #measure(): Promise<void> {
    const ends = await this.#admin.fetchTopicOffsets(TOPIC);
    const [group] = await this.#admin.fetchOffsets({ groupId: GROUP, topics: [TOPIC] });
    this.#lag = ends.reduce((sum, { partition, low, high }) => {
      const offset = group?.partitions.find((each) => each.partition === partition)?.offset;
      return sum + Number(high) - Number(offset === undefined || offset === '-1' ? low : offset);
    }, 0);
  }

  async #end(topic: string): Promise<number> {
    const ends = await this.#admin.fetchTopicOffsets(topic);
    return ends.reduce((sum, { high }) => sum + Number(high), 0);
  }
}
