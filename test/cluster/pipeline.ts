import { mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { Broker } from '../../dev/stack/broker.ts';
import { Connect } from '../../dev/stack/connect.ts';
import { connection, CONNECTOR, SINGLE_NODE, TOPIC } from '../../dev/stack/connector.ts';
import { install } from '../../dev/stack/install.ts';
import { timed } from '../../dev/lib/timed.ts';
import { Database } from './database.ts';
import { eventually, say } from './say.ts';
import { Sink } from './sink.ts';
import { prepareSource } from './source.ts';

/** Enough for each of a few pods to get its share. */
const PARTITIONS = 6;

/** The services around the cluster, on this machine: source database, Debezium, Kafka, state database, sink. */
export class Pipeline {
  readonly source: Database;
  readonly state: Database;
  readonly broker: Broker;
  readonly sink: Sink;
  readonly #admin: Admin;
  readonly #end: () => Promise<void>;

  private constructor(
    parts: Pick<Pipeline, 'source' | 'state' | 'broker' | 'sink'>,
    admin: Admin,
    end: () => Promise<void>,
  ) {
    this.source = parts.source;
    this.state = parts.state;
    this.broker = parts.broker;
    this.sink = parts.sink;
    this.#admin = admin;
    this.#end = end;
  }

  /** Starts everything, listening on the given address, where pods can reach it. */
  static async start(host: string): Promise<Pipeline> {
    const folder = mkdtempSync(join(tmpdir(), 'muster-cluster-'));
    await chmod(folder, 0o755); // PostgreSQL's user must be able to enter it
    const ends: (() => unknown)[] = [];
    const end = async () => {
      for (const step of ends.splice(0).toReversed()) await Promise.resolve(step()).catch(() => {});
      rmSync(folder, { recursive: true, force: true });
    };
    try {
      const installation = await install(say);
      const source = await Database.start(host, join(folder, 'source'));
      ends.push(() => source.stop());
      const state = await Database.start(host, join(folder, 'state'));
      ends.push(() => state.stop());
      await prepareSource(source);

      const starting = Broker.start(installation, join(folder, 'kafka'), host);
      const broker = await timed(say, 'Kafka', starting);
      ends.push(() => broker.stop());
      await broker.createTopic(TOPIC, PARTITIONS);
      const admin = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING }).admin();
      await admin.connect();
      ends.push(() => admin.disconnect());

      const config = { ...CONNECTOR, ...SINGLE_NODE, ...connection(source.url) };
      const connecting = Connect.start({
        installation,
        folder: join(folder, 'connect'),
        broker: broker.address,
        connectors: [{ name: CONNECTOR['slot.name'], config }],
      });
      const connect = await timed(say, 'Debezium', connecting);
      ends.push(() => connect.stop());
      await streaming(source);

      const sink = await Sink.start(host);
      ends.push(() => sink.stop());
      return new Pipeline({ source, state, broker, sink }, admin, end);
    } catch (error) {
      await end();
      throw error;
    }
  }

  createTopic(topic: string): Promise<void> {
    return this.broker.createTopic(topic, 1);
  }

  /** Records of the topic whose offset the group has not committed: what KEDA scales by. */
  async lag(group: string, topic = TOPIC): Promise<number> {
    const ends = await this.#admin.fetchTopicOffsets(topic);
    const [committed] = await this.#admin.fetchOffsets({ groupId: group, topics: [topic] });
    return ends.reduce((sum, { partition, low, high }) => {
      const found = committed?.partitions.find((each) => each.partition === partition);
      const offset = Number(found?.offset ?? -1);
      return sum + Number(high) - Math.max(offset, Number(low));
    }, 0);
  }

  /** Records in the topic. */
  async size(topic: string): Promise<number> {
    const ends = await this.#admin.fetchTopicOffsets(topic);
    return ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
  }

  stop(): Promise<void> {
    return this.#end();
  }
}

/** Waits until Debezium streams: rows inserted earlier would be a snapshot, which starts no runs. */
async function streaming(source: Database): Promise<void> {
  const slot = CONNECTOR['slot.name'];
  const isActive = async () => {
    const found = await source.query(
      'select from pg_replication_slots where active and slot_name = $1',
      [slot],
    );
    return found.length === 1;
  };
  await eventually('Debezium streams', isActive, 60);
}
