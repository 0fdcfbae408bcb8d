import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { KafkaSource } from '../../../dev/kafka-source/kafka-source.ts';
import type { Connect } from '../../../dev/stack/connect.ts';
import type { Connector } from '../../../dev/stack/connector.ts';
import { LOGIN, MariaDb } from './mariadb.ts';
import { Proxy } from './proxy.ts';
import type { Stack } from './stack.ts';
import { recordsOf, type TopicRecord } from './topic.ts';

const TABLE = 'shop.item';
const SIGNAL_TABLE = 'shop.dbz_signal';

/** Debezium's connectors that can read MariaDB; that for MySQL sends no GTIDs of it. */
const READERS = {
  mysql: {
    'connector.class': 'io.debezium.connector.mysql.MySqlConnector',
    'database.ssl.mode': 'disabled',
  },
  mariadb: {
    'connector.class': 'io.debezium.connector.mariadb.MariaDbConnector',
    'database.ssl.mode': 'disable',
  },
} as const;
type Reader = keyof typeof READERS;

/** The pipeline from a commit in MariaDB to a function: Debezium's connector, Kafka, a KafkaSource. */
export class MySqlPipeline {
  readonly stack: Stack;
  /** The server that accepts writes. */
  db: MariaDb;
  readonly #reader: Reader;
  /** The address of the server, whichever that is. */
  readonly #proxy: Proxy;
  #servers = 1;
  /** The name of the connector, its topic prefix and the consumer group. */
  readonly name = `m${randomUUID().slice(0, 8)}`;
  readonly topic = `${this.name}.${TABLE}`;
  readonly #folder: string;
  readonly #ends: (() => unknown)[] = [];

  private constructor(stack: Stack, db: MariaDb, proxy: Proxy, reader: Reader, folder: string) {
    this.stack = stack;
    this.db = db;
    this.#proxy = proxy;
    this.#reader = reader;
    this.#folder = folder;
    this.#ends.push(
      () => proxy.close(),
      () => db.stop(),
    );
  }

  /** Starts MariaDB with the two tables, and creates the topic. */
  static async start(stack: Stack, reader: Reader = 'mysql'): Promise<MySqlPipeline> {
    const folder = stack.newFolder();
    const db = await MariaDb.start(join(folder, 'mariadb'), { reader });
    const proxy = await Proxy.to(db.port);
    const pipeline = new MySqlPipeline(stack, db, proxy, reader, folder);
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

  /** Starts a replica that may be promoted; resolves when it has all transactions of the server. */
  async startReplica(): Promise<MariaDb> {
    const serverId = ++this.#servers;
    const folder = join(this.#folder, `mariadb-${serverId}`);
    const replica = await MariaDb.start(folder, { serverId, reader: this.#reader });
    this.#ends.push(() => replica.stop());
    await replica.follow(this.db);
    return replica;
  }

  /** Breaks the connections to the server until the next failover, also that of the connector. */
  cutOff(): void {
    this.#proxy.cut();
  }

  /** Kills the server once the replica has all its transactions, and promotes that. */
  async failOver(replica: MariaDb): Promise<void> {
    await replica.catchUp(this.db);
    await this.db.stop();
    await replica.query('stop slave; reset slave all');
    this.db = replica;
    this.#proxy.leadTo(replica.port);
  }

  /** The settings that the documentation names. */
  connector(config: Readonly<Record<string, string>> = {}): Connector {
    return {
      name: this.name,
      config: {
        ...READERS[this.#reader],
        'tasks.max': '1',
        'topic.prefix': this.name,
        'database.hostname': '127.0.0.1',
        'database.port': String(this.#proxy.port),
        'database.user': LOGIN.user,
        'database.password': LOGIN.password,
        'database.server.id': '5401',
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
  async startSource(
    sink: string,
    ordering: 'ordered' | 'unordered' = 'unordered',
  ): Promise<KafkaSource> {
    const source = await KafkaSource.start({
      brokers: [(await this.stack.broker()).address],
      topics: [this.topic],
      consumerGroup: this.name,
      namespace: 'default',
      name: 'items',
      sink,
      ordering,
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
