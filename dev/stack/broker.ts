import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { freePort } from '../../src/local/port.ts';
import type { Installation } from './install.ts';
import { Jvm } from './jvm.ts';
import { brokerSettings, toProperties } from './settings.ts';

/** `ConfigResourceTypes.BROKER`, which kafkajs does not export by name. */
const BROKER = 4;

/** A single-node Kafka cluster that stores its data in a folder. */
export class Broker {
  /** The bootstrap server, which restarts don't change. */
  readonly address: string;
  readonly #start: () => Promise<Jvm>;
  #jvm: Jvm;

  private constructor(address: string, start: () => Promise<Jvm>, jvm: Jvm) {
    this.address = address;
    this.#start = start;
    this.#jvm = jvm;
  }

  /** Resolves when it accepts requests (2-3 s). `host`: the address of this machine to advertise. */
  static async start(
    installation: Installation,
    folder: string,
    host = '127.0.0.1',
  ): Promise<Broker> {
    const data = join(folder, 'data');
    mkdirSync(folder, { recursive: true });
    if (!existsSync(data)) cpSync(installation.formatted, data, { recursive: true });
    const port = await freePort();
    const config = join(folder, 'broker.properties');
    const controllerPort = await freePort();
    const settings = brokerSettings({ folder: data, host, port, controllerPort });
    writeFileSync(config, toProperties(settings));
    const address = `${host}:${port}`;
    const start = async () => {
      const jvm = await Jvm.start({
        title: 'Kafka',
        classpath: installation.classpath,
        mainClass: 'kafka.Kafka',
        args: [config],
        heap: '256m',
        log: join(folder, 'broker.log'),
      });
      await brokerReady(address, jvm, data);
      return jvm;
    };
    return new Broker(address, start, await start());
  }

  get pid(): number {
    return this.#jvm.pid;
  }

  /** Resolves when the current process has exited. */
  get ended(): Promise<string> {
    return this.#jvm.ended;
  }

  /** Creates a topic unless it exists. */
  async createTopic(topic: string, numPartitions: number): Promise<void> {
    const admin = new Kafka({ brokers: [this.address], logLevel: logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
      // kafkajs' own wait fails if a topic that was just created is not known yet
      while (!(await hasLeaders(admin, topic))) await sleep(50);
    } finally {
      await admin.disconnect();
    }
  }

  kill(): Promise<void> {
    return this.#jvm.kill();
  }

  /** Restarts it on the same port and data after `kill` or `stop`. */
  async restart(): Promise<void> {
    this.#jvm = await this.#start();
  }

  stop(): Promise<void> {
    return this.#jvm.stop();
  }
}

async function hasLeaders(admin: Admin, topic: string): Promise<boolean> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
    return topics.every(({ partitions }) => partitions.every(({ leader }) => leader >= 0));
  } catch (error) {
    if ((error as { type?: string }).type === 'UNKNOWN_TOPIC_OR_PARTITION') return false;
    throw error;
  }
}

/**
 * Resolves when the broker at this address answers; throws with the end of its log if its process exited.
 * `data`: the folder of its data, which distinguishes it from another demo's broker on the same port.
 */
export async function brokerReady(address: string, jvm: Jvm, data?: string): Promise<void> {
  const kafka = new Kafka({
    brokers: [address],
    logLevel: logLevel.NOTHING,
    retry: { retries: 0 },
  });
  for (;;) {
    const admin = kafka.admin();
    try {
      await admin.connect();
      await admin.listTopics();
      if (data === undefined || (await dataOf(admin)) === data) return;
      throw new Error(`another broker answers at ${address}`);
    } catch (error) {
      if (jvm.hasEnded) throw new Error(`Kafka did not start:\n${jvm.lastWords}`, { cause: error });
      await sleep(50);
    } finally {
      await admin.disconnect().catch(() => {});
    }
  }
}

async function dataOf(admin: Admin): Promise<string | undefined> {
  const { nodeId: id } = (await admin.describeCluster()).brokers[0]!;
  const broker = { type: BROKER, name: String(id), configNames: ['log.dirs'] };
  const { resources } = await admin.describeConfigs({
    resources: [broker],
    includeSynonyms: false,
  });
  return resources[0]?.configEntries[0]?.configValue;
}
