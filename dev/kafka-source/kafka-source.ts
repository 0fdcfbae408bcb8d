import { type Consumer, type EachBatchPayload, Kafka, logLevel } from 'kafkajs';
import { DeadLetterTopic } from './dead-letters.ts';
import { DEFAULT_DELIVERY, type Delivery, type Failure, Sender, toDeadLetter } from './delivery.ts';
import { type EventOptions, type KafkaRecord, toEvent } from './event.ts';
import { Partition } from './partition.ts';

/** The `spec` of a KafkaSource, and the relevant metadata. */
export interface KafkaSourceOptions extends EventOptions {
  readonly brokers: readonly string[];
  readonly topics: readonly string[];
  readonly consumerGroup: string;
  readonly sink: string;
  /** `ordered` by default, as in a KafkaSource. */
  readonly ordering?: 'ordered' | 'unordered';
  /** Where a group without offsets starts; `latest` by default, as in a KafkaSource. */
  readonly initialOffset?: 'earliest' | 'latest';
  readonly delivery?: Delivery;
  /** An HTTP URL, or `kafka:<topic>` for a KafkaSink with `contentMode: binary`. */
  readonly deadLetterSink?: string;
  /** In milliseconds; 5 s by default, as in a KafkaSource. */
  readonly commitInterval?: number;
  /** How long the group waits for a killed source, in milliseconds; 10 s by default, as in a KafkaSource. */
  readonly sessionTimeout?: number;
  /** Called when partitions are assigned or revoked, and with the outcome of each event. */
  readonly on?: (happening: Happening) => void;
}

export type Happening =
  | { readonly kind: 'assigned'; readonly partitions: number }
  | { readonly kind: 'revoked' }
  | { readonly kind: 'delivered'; readonly record: KafkaRecord }
  | { readonly kind: 'dead-letter'; readonly record: KafkaRecord; readonly failure: Failure }
  /** Neither sink accepted the event, and its offset is committed anyway. */
  | { readonly kind: 'lost'; readonly record: KafkaRecord; readonly failure: Failure };

/** `max.poll.records`: a poll happens while fewer records are in flight, and adds up to this number. */
const POLL = 50;

/**
 * A Knative KafkaSource (dispatcher of 2026-07) in this process: the same requests with the same
 * concurrency, and the same rules for retries, dead letters and commits; test/fixtures/knative contains
 * recordings. One difference: in Knative's, a record with a null-valued header drops its whole poll.
 */
export class KafkaSource {
  readonly counts = { delivered: 0, deadLettered: 0, lost: 0 };
  readonly #options: KafkaSourceOptions;
  readonly #kafka: Kafka;
  readonly #consumer: Consumer;
  readonly #sender: Sender;
  readonly #deadLetters: DeadLetterTopic | null;
  readonly #committing: NodeJS.Timeout;
  #partitions = new Map<string, Partition>();
  #inFlight = 0;
  #isStopping = false;
  #underWay: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(options: KafkaSourceOptions) {
    this.#options = options;
    this.#kafka = new Kafka({
      brokers: [...options.brokers],
      clientId: options.name,
      logLevel: logLevel.NOTHING,
      // A broker may be down for long; kafkajs retries at least every second.
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 1_000_000 },
    });
    this.#consumer = this.#kafka.consumer({
      groupId: options.consumerGroup,
      sessionTimeout: options.sessionTimeout ?? 10_000,
      rebalanceTimeout: 10_000,
      heartbeatInterval: 500,
      maxWaitTimeInMs: 200, // another consumer has to wait for the end of this one's fetch
    });
    this.#sender = new Sender(options.namespace, options.delivery ?? DEFAULT_DELIVERY);
    const [, topic] = /^kafka:(.+)$/.exec(options.deadLetterSink ?? '') ?? [];
    this.#deadLetters = topic === undefined ? null : new DeadLetterTopic(this.#kafka, topic);
    this.#committing = setInterval(() => void this.commit(), options.commitInterval ?? 5_000);
  }

  /** Resolves once the group is joined. */
  static async start(options: KafkaSourceOptions): Promise<KafkaSource> {
    const source = new KafkaSource(options);
    await source.#consume();
    return source;
  }

  /** The number of retries so far. */
  get retries(): number {
    return this.#sender.retries;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Commits finished records, leaves the group and aborts the requests in flight. */
  stop(): Promise<void> {
    return (this.#stopped ??= this.#stop());
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    clearInterval(this.#committing);
    for (const { waiting } of this.#partitions.values()) waiting.length = 0;
    await Promise.race([
      this.commit(),
      new Promise((resolve) => setTimeout(resolve, 2_000).unref()),
    ]);
    await this.#consumer.disconnect().catch(() => {});
    this.#sender.stop();
    await this.#deadLetters?.stop();
  }

  /** Commits each partition's offset; a commit that fails is repeated at the next interval. */
  commit(): Promise<void> {
    return (this.#underWay ??= this.#commit().finally(() => (this.#underWay = undefined)));
  }

  async #commit(): Promise<void> {
    const changed = [...this.#partitions.values()].flatMap((partition) => {
      const offset = partition.uncommitted;
      return offset === undefined ? [] : [{ partition, offset }];
    });
    if (changed.length === 0) return;
    try {
      await this.#consumer.commitOffsets(
        changed.map(({ partition: { topic, number }, offset }) => ({
          topic,
          partition: number,
          offset: String(offset),
        })),
      );
      for (const { partition, offset } of changed) partition.committed(offset);
    } catch {
      // the group is rebalancing, or the broker is down
    }
  }

  async #consume(): Promise<void> {
    const { topics, initialOffset = 'latest' } = this.#options;
    const consumer = this.#consumer;
    const joined = new Promise<void>((resolve, reject) => {
      consumer.on('consumer.group_join', ({ payload }) => {
        this.#assign(payload.memberAssignment);
        resolve();
      });
      consumer.on('consumer.crash', ({ payload }) => {
        if (!payload.restart) reject(payload.error);
      });
    });
    // Eager, as the source's StickyAssignor: each rebalance revokes all partitions. Requests in flight
    // continue, but their offsets are no longer committed.
    consumer.on('consumer.rebalancing', () => this.#revoke());
    await consumer.connect();
    await consumer.subscribe({ topics: [...topics], fromBeginning: initialOffset === 'earliest' });
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 100,
      eachBatch: (payload) => Promise.resolve(this.#take(payload)),
    });
    await joined;
  }

  #revoke(): void {
    void this.commit();
    for (const { waiting } of this.#partitions.values()) waiting.length = 0;
    this.#options.on?.({ kind: 'revoked' });
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    for (const { waiting } of this.#partitions.values()) waiting.length = 0;
    this.#partitions = new Map();
    for (const [topic, numbers] of Object.entries(assignment)) {
      for (const number of numbers) {
        this.#partitions.set(`${topic} ${number}`, new Partition(topic, number));
      }
      this.#consumer.resume([{ topic, partitions: numbers }]); // a pause outlives a rebalance
    }
    this.#options.on?.({ kind: 'assigned', partitions: this.#partitions.size });
  }

  /** Accepts the fetched records of one partition; more are fetched when few of them are left. */
  #take({ batch }: EachBatchPayload): void {
    const { topic, partition: number } = batch;
    const partition = this.#partitions.get(`${topic} ${number}`);
    if (!partition || this.#isStopping) return;
    for (const { offset, timestamp, key, value, headers = {} } of batch.messages) {
      partition.waiting.push({
        topic,
        partition: number,
        offset,
        timestamp: Number(timestamp),
        key,
        value,
        headers: Object.entries(headers).flatMap(([name, given]) =>
          [given]
            .flat()
            .flatMap((each) => (each == null ? [] : [[name, Buffer.from(each)] as const])),
        ),
      });
    }
    this.#setPaused(partition, partition.waiting.length >= POLL);
    this.#dispatch();
  }

  #dispatch(): void {
    const { ordering = 'ordered' } = this.#options;
    let room = this.#inFlight < POLL ? POLL : 0;
    for (const partition of this.#partitions.values()) {
      const most = ordering === 'ordered' ? 1 - partition.inFlight : room;
      for (const record of partition.waiting.splice(0, most)) {
        room -= 1;
        void this.#deliver(partition, record);
      }
      if (partition.waiting.length < POLL) this.#setPaused(partition, false);
    }
  }

  #setPaused(partition: Partition, isPaused: boolean): void {
    if (partition.isPaused === isPaused) return;
    partition.isPaused = isPaused;
    const which = [{ topic: partition.topic, partitions: [partition.number] }];
    if (isPaused) this.#consumer.pause(which);
    else this.#consumer.resume(which);
  }

  async #deliver(partition: Partition, record: KafkaRecord): Promise<void> {
    const finished = partition.offsets.start(record.offset);
    this.#inFlight += 1;
    partition.inFlight += 1;
    try {
      await this.#post(record);
      finished();
    } catch {
      // stopped: not finished, so not committed
    }
    this.#inFlight -= 1;
    partition.inFlight -= 1;
    if (!this.#isStopping) this.#dispatch();
  }

  async #post(record: KafkaRecord): Promise<void> {
    const { sink, deadLetterSink, on } = this.#options;
    const event = toEvent(record, this.#options);
    const traceparent = record.headers.findLast(([name]) => name === 'traceparent')?.[1].toString();
    const failure = await this.#sender.send(sink, event, traceparent);
    if (failure === null) {
      this.counts.delivered += 1;
      on?.({ kind: 'delivered', record });
      return;
    }
    const dead = toDeadLetter(event, failure);
    const second = this.#deadLetters
      ? await this.#deadLetters.send(dead)
      : deadLetterSink === undefined
        ? failure
        : await this.#sender.send(deadLetterSink, dead, traceparent);
    if (second === null) {
      this.counts.deadLettered += 1;
      on?.({ kind: 'dead-letter', record, failure });
    } else {
      this.counts.lost += 1;
      on?.({ kind: 'lost', record, failure: second });
    }
  }
}
