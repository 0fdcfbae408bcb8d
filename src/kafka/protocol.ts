import type { Admin, Kafka } from 'kafkajs';
import { dropAborted, type FetchedPartition } from './transactions.ts';

/**
 * Adds what Muster needs of Kafka's protocol and kafkajs (2.2.4, its last release) lacks: the filtering of
 * overlapping transactions as the broker specifies, and the query for the id of a topic. Both depend on
 * internals of kafkajs; `extend` throws if another version lacks them.
 */

interface Broker {
  readonly versions: Readonly<Record<number, { readonly maxVersion: number }>>;
  readonly connectionPool: { send(protocolRequest: unknown): Promise<unknown> };
  fetch(request: unknown): Promise<{
    readonly responses: readonly { readonly partitions: readonly FetchedPartition[] }[];
  }>;
}

interface Cluster {
  findBroker(node: unknown): Promise<Broker>;
  findControllerBroker(): Promise<Broker>;
  refreshMetadataIfNecessary(): Promise<void>;
}

type CreateCluster = (options: object) => Cluster;

const clusters = new WeakMap<Admin, Cluster>();

/** Extends the client in place and returns it. */
export function extend(kafka: Kafka): Kafka {
  const internals = kafka as unknown as Record<symbol, CreateCluster>;
  const key = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  if (key === undefined) throw new Error('this version of kafkajs creates its clusters elsewhere');
  const create = internals[key]!;
  let last: Cluster | undefined;
  internals[key] = (options) => {
    last = readCommitted(create(options));
    return last;
  };
  const admin = kafka.admin.bind(kafka);
  kafka.admin = (config) => {
    const created = admin(config);
    clusters.set(created, last!);
    return created;
  };
  return kafka;
}

function readCommitted(cluster: Cluster): Cluster {
  const known = new WeakSet<Broker>();
  const find = cluster.findBroker.bind(cluster);
  cluster.findBroker = async (node) => {
    const broker = await find(node);
    if (known.has(broker)) return broker;
    known.add(broker);
    const fetch = broker.fetch.bind(broker);
    broker.fetch = async (request) => {
      const answer = await fetch(request);
      for (const { partitions } of answer.responses) partitions.forEach(dropAborted);
      return answer;
    };
    return broker;
  };
  return cluster;
}

/** A topic as a broker currently describes it. */
export interface TopicDescription {
  /** Changes when the topic is deleted and created again. */
  readonly id: string;
  readonly partitions: readonly number[];
}

const METADATA = 3;
/** The first version that includes the id of a topic: Kafka 2.8. */
const VERSION = 10;
const UNKNOWN_TOPIC = 3;

/**
 * Queries a broker for a topic, bypassing the client's cached metadata. Returns null if the topic does not
 * exist, or the broker is too old to give topics an id.
 *
 * @param admin connected admin of an extended client
 */
export async function describeTopic(admin: Admin, topic: string): Promise<TopicDescription | null> {
  const cluster = clusters.get(admin);
  if (cluster === undefined) throw new Error('the client was not extended');
  await cluster.refreshMetadataIfNecessary();
  const broker = await cluster.findControllerBroker();
  if ((broker.versions[METADATA]?.maxVersion ?? 0) < VERSION) return null;
  const answer = await broker.connectionPool.send({
    request: {
      apiKey: METADATA,
      apiVersion: VERSION,
      apiName: 'Metadata',
      encode: () => Promise.resolve(encoded(topic)),
    },
    response: {
      decode: (bytes: Buffer) => Promise.resolve(readMetadata(bytes)),
      parse: (decoded: unknown) => Promise.resolve(decoded),
    },
  });
  return answer as TopicDescription | null;
}

/** Encodes the request as an object with the members that kafkajs needs of its encoder. */
function encoded(topic: string) {
  const name = Buffer.from(topic);
  const buffer = Buffer.concat([
    Buffer.from([0]), // the tags that end the header of flexible versions
    Buffer.from([2]), // one topic
    Buffer.alloc(16), // requested by name, not by id
    unsigned(name.length + 1),
    name,
    Buffer.from([0]), // tags of the topic
    Buffer.from([0, 0, 0]), // do not create it, and do not list authorized operations
    Buffer.from([0]), // tags
  ]);
  return { buf: buffer, buffer, size: () => buffer.length };
}

function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return Buffer.from([...bytes, value]);
}

/** Reads a response of version 10 about one topic. */
function readMetadata(bytes: Buffer): TopicDescription | null {
  const reader = new FlexibleReader(bytes);
  reader.skipTags(); // header
  reader.skip(4); // throttle time
  reader.array(() => {
    reader.skip(4);
    reader.skipText();
    reader.skip(4);
    reader.skipText();
    reader.skipTags();
  });
  reader.skipText(); // id of the cluster
  reader.skip(4); // controller
  const [topic] = reader.array(() => readTopic(reader));
  if (topic === undefined || topic.error === UNKNOWN_TOPIC) return null;
  if (topic.error !== 0) {
    throw new Error(`the broker does not describe the topic: error ${topic.error}`);
  }
  return /^0+$/.test(topic.id) ? null : { id: topic.id, partitions: topic.partitions };
}

function readTopic(reader: FlexibleReader) {
  const error = reader.int16();
  reader.skipText();
  const id = reader.hex(16);
  reader.skip(1); // internal?
  const partitions = reader.array(() => {
    reader.skip(2);
    const partition = reader.int32();
    reader.skip(8); // leader and its epoch
    for (let list = 0; list < 3; list++) reader.array(() => reader.skip(4));
    reader.skipTags();
    return partition;
  });
  reader.skip(4);
  reader.skipTags();
  return { error, id, partitions };
}

/** Reads the flexible versions of Kafka's protocol (KIP-482). */
class FlexibleReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  hex(bytes: number): string {
    this.#at += bytes;
    return this.#bytes.toString('hex', this.#at - bytes, this.#at);
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.#unsigned() - 1) }, read);
  }

  skipText(): void {
    this.skip(Math.max(0, this.#unsigned() - 1));
  }

  skipTags(): void {
    for (let tags = this.#unsigned(); tags > 0; tags--) {
      this.#unsigned();
      this.skip(this.#unsigned());
    }
  }

  #unsigned(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++]!;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }
}
