import type { Admin, Consumer, Kafka } from 'kafkajs';
import type { Log } from '../../function.ts';
import { Loop } from '../../lib/loop.ts';
import type { RecordChunk } from '../../state/projections/chunks.ts';
import { errorText } from '../../lib/error-text.ts';
import { Commits, keyOf } from './commits.ts';
import { committedOf, consumerOf, lookAt, receiveFrom, seekTo, setFetching } from './consumer.ts';
import type { RecordHandler, Look, Start } from './record-handler.ts';
import { OwnedPartition, type Batch } from './owned-partition.ts';
import { PartitionReader } from './partition.ts';
import { retry } from '../../lib/retry.ts';

/** Interval at which offsets are committed to Kafka and the ends of the partitions queried. */
const WATCH_MS = 1_000;
const BEGIN_PARTITIONS = { attempts: Infinity, firstMs: 500, maxMs: 500 };

export interface SessionOptions {
  readonly kafka: Kafka;
  readonly group: string;
  readonly handler: RecordHandler;
  /** Maximum size of the records that wait in this process, in bytes. */
  readonly queueBytes: number;
  /** A member without a heartbeat for this long loses its partitions. */
  readonly sessionTimeoutMs: number;
  readonly log: Log;
  readonly onTaken: (chunk: RecordChunk, seconds: number) => void;
  readonly onLag: (topic: string, partition: number, records: number | null) => void;
}

/**
 * KafkaSession is one membership of a consumer group, from joining to leaving. The record handler decides where
 * partitions start; offsets are committed to Kafka afterwards, only to keep the consumer lag correct.
 */
export class KafkaSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #admin: Admin;
  readonly #commits: Commits;
  readonly #owned = new Map<string, OwnedPartition>();
  /** Resting partitions with the reason. */
  readonly #resting = new Map<string, { topic: string; partition: number; problem: string }>();
  readonly #crash = Promise.withResolvers<never>();
  #assignment: Readonly<Record<string, readonly number[]>> = {};
  /** Counts assignments; work that began under an earlier one is void. */
  #era = 0;
  #beginning = 0;
  #paused = false;
  #isStopping = false;
  #watching: Loop | undefined;
  #trouble: string | null = 'joining the consumer group';

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#admin = options.kafka.admin();
    this.#consumer = consumerOf(options.kafka, options.group, options.sessionTimeoutMs);
    this.#commits = new Commits(this.#consumer, options.log);
    this.#crash.promise.catch(() => {});
  }

  /** Why nothing is read, or not all partitions; null if all are read. */
  get trouble(): string | null {
    if (this.#trouble !== null) return this.#trouble;
    for (const { topic, partition, problem } of this.#resting.values()) {
      return `partition ${partition} of ${topic} rests: ${problem}`;
    }
    for (const { reader } of this.#owned.values()) {
      if (reader.isFailing) {
        return `partition ${reader.partition} of ${reader.topic} can't be handled`;
      }
    }
    return null;
  }

  /** Joins the group and reads until `stop`; throws the error that ends the membership. */
  async run(): Promise<never> {
    const { handler } = this.#options;
    const consumer = this.#consumer;
    consumer.on('consumer.crash', ({ payload }) => this.#crash.reject(payload.error));
    consumer.on('consumer.rebalancing', () => this.#revoke());
    consumer.on('consumer.group_join', ({ payload }) => this.#assign(payload.memberAssignment));
    await this.#admin.connect();
    await receiveFrom(consumer, handler.topics, (...batch) => this.#receive(...batch));
    this.#watching = new Loop(
      WATCH_MS,
      () => this.#watch(),
      (error) => {
        this.#trouble = `Kafka: ${errorText(error)}`;
        this.#options.log.warn({ error: errorText(error) }, 'watching the topics failed');
      },
    );
    return this.#crash.promise;
  }

  /** Waits for the chunks in progress, commits, and leaves the group. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#era++;
    await this.#watching?.stop();
    this.#pause(this.#assignment);
    await this.#end([...this.#owned.values()]);
    await this.#commit();
    this.#owned.clear();
    await this.#consumer.disconnect().catch(() => {});
    await this.#admin.disconnect().catch(() => {});
  }

  /** Another member joins or leaves: waits for the chunks in progress; later ones wait for the new assignment. */
  #revoke(): void {
    const owned = [...this.#owned.values()];
    void this.#end(owned).then(() => this.#commit());
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    if (this.#isStopping) return;
    this.#era++;
    this.#assignment = assignment;
    this.#resting.clear();
    this.#commits.forget();
    const before = [...this.#owned.values()];
    this.#owned.clear();
    // kafkajs fetches nothing before this returns.
    this.#pause(assignment);
    for (const { reader } of before) this.#options.onLag(reader.topic, reader.partition, null);
    const { log, handler } = this.#options;
    log.info({ function: handler.name, assignment }, 'partitions assigned');
    this.#trouble = null;
    const ended = this.#end(before);
    for (const [topic, partitions] of Object.entries(assignment)) {
      void this.#begin(topic, partitions, ended);
    }
  }

  /** Starts partitions where the handler decides; retries until it succeeds or other partitions are assigned. */
  async #begin(topic: string, partitions: readonly number[], ended: Promise<void>): Promise<void> {
    const era = this.#era;
    this.#beginning++;
    await ended;
    const isAssigned = () => era === this.#era;
    const onRetry = (error: unknown) => {
      this.#trouble = errorText(error);
      const fields = { topic, partitions, error: errorText(error) };
      this.#options.log.warn(fields, 'partitions could not be started, trying again');
    };
    await retry(
      async () => (isAssigned() ? this.#tryBegin(topic, partitions, era) : undefined),
      { ...BEGIN_PARTITIONS, isRetryable: isAssigned },
      { onRetry },
    ).catch(() => {}); // Rejects only if other partitions are assigned.
    this.#beginning--;
  }

  async #tryBegin(topic: string, partitions: readonly number[], era: number): Promise<void> {
    const { group, handler } = this.#options;
    const committed = await committedOf(this.#admin, group, topic, partitions);
    let now: Look | undefined;
    const starts = await handler.begin(topic, {
      committed,
      look: async () => (now = await lookAt(this.#admin, topic, partitions)),
      isOwner: () => era === this.#era,
    });
    if (era !== this.#era || now === undefined) return;
    for (const start of starts) {
      const { partition, problem } = start;
      const { low } = now.ranges.find((each) => each.partition === partition)!;
      if (problem === null) this.#open(topic, start, low, now.id);
      else this.#resting.set(keyOf(topic, partition), { topic, partition, problem });
    }
    this.#trouble = null;
    // At once: after a crash on a quiet topic no later commit would correct the lag.
    await this.#commit();
    if (era !== this.#era || this.#paused) return;
    const open = partitions.filter(
      (each) => this.#owned.get(keyOf(topic, each))?.reader.isFull === false,
    );
    setFetching(this.#consumer, true, topic, open);
  }

  #open(topic: string, start: Start, low: number, topicId: string | null): void {
    const { partition, next } = start;
    const { handler, queueBytes, onTaken, log } = this.#options;
    const all = Object.values(this.#assignment).flat().length;
    const place = { function: handler.name, topic, partition };
    const key = keyOf(topic, partition);
    const reader = new PartitionReader({ topic, partition, next }, handler, queueBytes / all, {
      full: (isFull) => {
        if (this.#owned.get(key)?.reader !== reader || this.#paused) return;
        setFetching(this.#consumer, !isFull, topic, [partition]);
      },
      taken: onTaken,
      failed: ({ from, records }, error) =>
        log.warn(
          { ...place, offset: from, records: records.length, error: errorText(error) },
          'records could not be handled, trying again',
        ),
      moved: (moved) => {
        log.warn(
          { ...place, next: moved },
          'the position was moved by another process, resuming there',
        );
        if (this.#owned.get(key)?.reader === reader) this.#restart(topic, partition);
      },
    });
    reader.hold(this.#paused);
    const owned = new OwnedPartition(reader, start, low, topicId);
    this.#resting.delete(key);
    this.#owned.set(key, owned);
    seekTo(this.#consumer, topic, partition, owned.fetch);
  }

  /** Discards what was read ahead, and restarts the partition where the handler decides. */
  #restart(topic: string, partition: number): void {
    const key = keyOf(topic, partition);
    const owned = this.#owned.get(key);
    this.#owned.delete(key);
    this.#commits.forget();
    setFetching(this.#consumer, false, topic, [partition]);
    void this.#begin(topic, [partition], owned?.reader.stop() ?? Promise.resolve());
  }

  #receive(topic: string, partition: number, batch: Batch): void {
    const owned = this.#owned.get(keyOf(topic, partition));
    const outcome = owned?.receive(batch);
    if (outcome === 'off') setFetching(this.#consumer, false, topic, [partition]);
    if (outcome === 'recreated') void this.#rest(topic, partition, owned!.reader.next);
  }

  async #rest(topic: string, partition: number, next: number): Promise<void> {
    const era = this.#era;
    const problem = `record ${next - 1} of the topic is not the one that was read: was the topic recreated?`;
    // If this fails, the mismatch is detected again.
    await this.#options.handler.rest(topic, partition, next, problem).catch(() => {});
    if (era === this.#era) this.#restart(topic, partition);
  }

  async #watch(): Promise<void> {
    const { handler, onLag } = this.#options;
    for (const [topic, partitions] of Object.entries(this.#assignment)) {
      const era = this.#era;
      const read = partitions.filter((partition) => this.#owned.has(keyOf(topic, partition)));
      let look: Look | undefined;
      const { paused, positions } = await handler.report(
        topic,
        read,
        async () => (look = await lookAt(this.#admin, topic, partitions)),
      );
      if (era !== this.#era || look === undefined) return;
      this.#setPaused(paused);
      for (const range of look.ranges) {
        const { partition, high } = range;
        const owned = this.#owned.get(keyOf(topic, partition));
        if (owned === undefined) continue;
        onLag(topic, partition, Math.max(0, high - owned.reader.next));
        if (owned.isMisplaced(range, positions.get(partition), look.id)) {
          this.#restart(topic, partition);
        }
      }
    }
    for (const { topic, partition } of this.#resting.values()) {
      // An operator may have set the position.
      if (this.#beginning === 0) this.#restart(topic, partition);
    }
    if (this.#beginning === 0) this.#trouble = null;
    await this.#commit();
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.#options.log.info({ function: this.#options.handler.name }, paused ? 'paused' : 'resumed');
    for (const { reader } of this.#owned.values()) {
      reader.hold(paused);
      const isFetching = !paused && !reader.isFull;
      setFetching(this.#consumer, isFetching, reader.topic, [reader.partition]);
    }
  }

  #pause(assignment: Readonly<Record<string, readonly number[]>>): void {
    for (const [topic, partitions] of Object.entries(assignment)) {
      setFetching(this.#consumer, false, topic, partitions);
    }
  }

  async #end(owned: readonly OwnedPartition[]): Promise<void> {
    await Promise.all(owned.map(({ reader }) => reader.stop()));
  }

  async #commit(): Promise<void> {
    const places = [...this.#owned.values()].map(({ reader, topicId }) => ({
      topic: reader.topic,
      partition: reader.partition,
      next: reader.next,
      topicId,
    }));
    await this.#commits.commit(places);
  }
}
