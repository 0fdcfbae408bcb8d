import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { KafkaSource } from '../../../dev/kafka-source/kafka-source.ts';
import type { Connect } from '../../../dev/stack/connect.ts';
import type { Connector } from '../../../dev/stack/connector.ts';
import { LOGIN, MariaDb } from './mariadb.ts';
import type { Stack } from './stack.ts';
import { recordsOf, type TopicRecord } from './topic.ts';

const TABLE = 'shop.item';
const SIGNAL_TABLE = 'shop.dbz_signal';

/** The pipeline from a commit in MariaDB to a function: Debezium's connector for MySQL, Kafka, a KafkaSource. */
export class MySqlPipeline {
  readonly stack: Stack;
  readonly db: MariaDb;
  /** The name of the connector, its topic prefix and the consumer group. */
  readonly name = `m${randomUUID().slice(0, 8)}`;
  readonly topic = `${this.name}.${TABLE}`;
  readonly #folder: string;
  readonly #ends: (() => unknown)[] = [];

  private constructor(stack: Stack, db: MariaDb, folder: string) {
    this.stack = stack;
    this.db = db;
    this.#folder = folder;
  }

  /** Starts MariaDB with the two tables, and creates the topic. */
  static async start(stack: Stack): Promise<MySqlPipeline> {
    const folder = stack.newFolder();
    const db = await MariaDb.start(join(folder, 'mariadb'));
    const pipeline = new MySqlPipeline(stack, db, folder);
    pipeline.#ends.push(() => db.stop());
    await db.query(
      `create database shop;
       create table ${TABLE} (id int primary key, k varchar(20) not null, kind char(1) not null);
       create table ${SIGNAL_TABLE} (id varchar(42) primary key, type varchar(32) not null, data varchar(2048))`,
    );
    await (await stack.broker()).createTopic(pipeline.topic, 1);
    return pipeline;
  }

  /** Stops everything that was started, the newest first. */
  async close(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end();
  }

  /** The settings that the documentation names. */
  connector(config: Readonly<Record<string, string>> = {}): Connector {
    return {
      name: this.name,
      config: {
        'connector.class': 'io.debezium.connector.mysql.MySqlConnector',
        'tasks.max': '1',
        'topic.prefix': this.name,
        'database.hostname': '127.0.0.1',
        'database.port': String(this.db.port),
        'database.user': LOGIN.user,
        'database.password': LOGIN.password,
        'database.server.id': '5401',
        'database.ssl.mode': 'disabled',
        'database.include.list': 'shop',
        'table.include.list': TABLE,
        'signal.data.collection': SIGNAL_TABLE,
        'snapshot.mode': 'when_needed',
        'skipped.operations': 'none',
        'schema.history.internal': 'io.debezium.storage.file.history.FileSchemaHistory',
        'schema.history.internal.file.filename': join(this.#folder, 'schema-history'),
        'poll.interval.ms': '100',
        'extended.headers.enabled': 'false',
        'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'key.converter.schemas.enable': 'false',
        'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
        'value.converter.schemas.enable': 'false',
        ...config,
      },
    };
  }

  /** Starts a Connect worker with the connector, which a test may kill. */
  async startConnect(connectors = [this.connector()]): Promise<Connect> {
    const connect = await this.stack.connectWithMySql(connectors);
    this.#ends.push(() => connect.kill());
    return connect;
  }

  /** Starts a KafkaSource that posts the changes to this URL. */
  async startSource(sink: string): Promise<KafkaSource> {
    const source = await KafkaSource.start({
      brokers: [(await this.stack.broker()).address],
      topics: [this.topic],
      consumerGroup: this.name,
      namespace: 'default',
      name: 'items',
      sink,
      ordering: 'unordered',
      initialOffset: 'earliest',
      delivery: { retry: 1_000, backoffPolicy: 'linear', backoffDelay: 5, timeout: 10_000 },
    });
    this.#ends.push(() => source.stop());
    return source;
  }

  /** Requests an incremental snapshot of the table. */
  async snapshot(): Promise<void> {
    const data = JSON.stringify({ 'data-collections': [TABLE], type: 'incremental' });
    await this.db.query(
      `insert into ${SIGNAL_TABLE} values (uuid(), 'execute-snapshot', '${data}')`,
    );
  }

  /** Returns all records now in a topic, by default that of the table. */
  async records(topic = this.topic): Promise<TopicRecord[]> {
    const { address } = await this.stack.broker();
    return recordsOf(new Kafka({ brokers: [address], logLevel: logLevel.NOTHING }), topic);
  }
}
