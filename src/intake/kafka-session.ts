import type { Admin, Consumer, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs';
import type { Log, TopicRecord } from '../function.ts';
import { Loop } from '../loop.ts';
import type { RecordChunk } from '../state/chunks.ts';
import { messageOf } from '../state/database.ts';
import type { Extent } from '../state/positions.ts';
import type { Assigned, Destination, Start } from './destination.ts';
import { PartitionReader } from './partition.ts';

/** How often offsets are committed to Kafka, and the ends of the partitions looked at. */
const WATCH_MS = 1_000;
const AGAIN_MS = 500;

export interface SessionOptions {
  readonly kafka: Kafka;
  readonly group: string;
  readonly destination: Destination;
  /** Bytes of records that may wait in this process. */
  readonly queueBytes: number;
  /** A member that says nothing so long loses its partitions. */
  readonly sessionTimeoutMs: number;
  readonly log: Log;
  readonly onTaken: (chunk: RecordChunk, seconds: number) => void;
  readonly onLag: (topic: string, partition: number, records: number | null) => void;
}

/** One partition of this process. */
interface Owned {
  readonly reader: PartitionReader;
  /** Where the next fetch begins, as kafkajs must see it too. */
  fetch: number;
  /** Records below are read again only to be compared with the stamp. */
  readonly from: number;
  readonly stamp: number | null;
  /** Fetching went on elsewhere: what waits is taken, then the partition begins anew. */
  isOff: boolean;
  /** What made the watch doubt this partition's place, when it last looked. */
  suspect: string | null;
}

/**
 * One membership of a consumer group, from joining to leaving. Where a partition begins is what the
 * destination says; to Kafka offsets are committed afterwards, and only so that lag is true.
 */
export class KafkaSession {
  readonly #options: SessionOptions;
  readonly #consumer: Consumer;
  readonly #admin: Admin;
  readonly #owned = new Map<string, Owned>();
  /** Partitions that rest, with the reason. */
  readonly #resting = new Map<string, { topic: string; partition: number; problem: string }>();
  readonly #committed = new Map<string, number>();
  readonly #crash = Promise.withResolvers<never>();
  #assignment: Readonly<Record<string, readonly number[]>> = {};
  /** Counts assignments: what began under an earlier one is void. */
  #era = 0;
  #beginning = 0;
  #paused = false;
  #watching: Loop | undefined;
  #trouble: string | null = 'the consumer group is not joined yet';

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#admin = options.kafka.admin();
    this.#consumer = options.kafka.consumer({
      groupId: options.group,
      sessionTimeout: options.sessionTimeoutMs,
      rebalanceTimeout: 30_000,
      heartbeatInterval: Math.min(1_000, options.sessionTimeoutMs / 5),
      // The longest a further member, or a partition that is fetched again, has to wait.
      maxWaitTimeInMs: 250,
      minBytes: 1,
      allowAutoTopicCreation: false,
      // Whoever made this session makes the next one, with a client that knows nothing of the old one.
      retry: { restartOnFailure: () => Promise.resolve(false) },
    });
    this.#crash.promise.catch(() => {});
  }

  /** Why nothing is read, or not everything; null if all is well. */
  get trouble(): string | null {
    if (this.#trouble !== null) return this.#trouble;
    for (const { topic, partition, problem } of this.#resting.values())
      return `partition ${partition} of ${topic} rests: ${problem}`;
    for (const { reader } of this.#owned.values())
      if (reader.isFailing) return `partition ${reader.partition} of ${reader.topic} can't go on`;
    return null;
  }

  /** Joins the group and reads until `stop`, or until it throws what ended the membership. */
  async run(): Promise<never> {
    const { destination } = this.#options;
    const consumer = this.#consumer;
    consumer.on('consumer.crash', ({ payload }) => this.#crash.reject(payload.error));
    consumer.on('consumer.rebalancing', () => this.#revoke());
    consumer.on('consumer.group_join', ({ payload }) => this.#assign(payload.memberAssignment));
    // Of transactions that were aborted, and of markers at the end of one, kafkajs tells nothing else.
    consumer.on('consumer.start_batch_process', ({ payload: batch }) => {
      if (batch.batchSize === 0) this.#receive({ ...batch, messages: [], fetchedOffset: null });
    });
    await this.#admin.connect();
    await consumer.connect();
    await consumer.subscribe({ topics: [...destination.topics], fromBeginning: true });
    await consumer.run({
      autoCommit: false,
      partitionsConsumedConcurrently: 1,
      eachBatch: ({ batch }: EachBatchPayload) => {
        // kafkajs resets an offset that the topic no longer holds by itself; this says where it fetched.
        const { fetchedOffset } = batch as unknown as { fetchedOffset: string };
        const { topic, partition, highWatermark, messages } = batch;
        const lastOffset = batch.lastOffset();
        this.#receive({ topic, partition, highWatermark, lastOffset, messages, fetchedOffset });
        return Promise.resolve();
      },
    });
    this.#watching = new Loop(
      WATCH_MS,
      () => this.#watch(),
      (error) => {
        this.#trouble = `Kafka: ${messageOf(error)}`;
        this.#options.log.warn({ error: messageOf(error) }, 'watching the topics failed');
      },
    );
    return this.#crash.promise;
  }

  /** Ends the chunks under way, commits, leaves the group. */
  async stop(): Promise<void> {
    this.#era++;
    await this.#watching?.stop();
    this.#pause(this.#assignment);
    await this.#end([...this.#owned.values()]);
    await this.#commit();
    this.#owned.clear();
    await this.#consumer.disconnect().catch(() => {});
    await this.#admin.disconnect().catch(() => {});
  }

  /** Another member comes or goes: what is under way is ended, and what follows waits for the new assignment. */
  #revoke(): void {
    const owned = [...this.#owned.values()];
    void this.#end(owned).then(() => this.#commit());
  }

  #assign(assignment: Readonly<Record<string, number[]>>): void {
    this.#era++;
    this.#assignment = assignment;
    this.#resting.clear();
    this.#committed.clear();
    const before = [...this.#owned.values()];
    this.#owned.clear();
    // Before anything is fetched: this is called before kafkajs goes on.
    this.#pause(assignment);
    for (const { reader } of before) this.#options.onLag(reader.topic, reader.partition, null);
    const { log, destination } = this.#options;
    log.info({ function: destination.name, assignment }, 'partitions assigned');
    this.#trouble = null;
    const ended = this.#end(before);
    for (const [topic, partitions] of Object.entries(assignment))
      void this.#begin(topic, partitions, ended);
  }

  /** Begins partitions where their destination says, as often as it takes, unless others are assigned. */
  async #begin(topic: string, partitions: readonly number[], ended: Promise<void>): Promise<void> {
    const era = this.#era;
    this.#beginning++;
    try {
      await ended;
      for (;;) {
        try {
          return await this.#tryBegin(topic, partitions, era);
        } catch (error) {
          if (era !== this.#era) return;
          this.#trouble = messageOf(error);
          this.#options.log.warn(
            { topic, partitions, error: messageOf(error) },
            'partitions could not begin, trying again',
          );
        }
        await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
        if (era !== this.#era) return;
      }
    } finally {
      this.#beginning--;
    }
  }

  async #tryBegin(topic: string, partitions: readonly number[], era: number): Promise<void> {
    const assigned = await this.#extents(topic, partitions);
    const starts = await this.#options.destination.begin(topic, assigned);
    if (era !== this.#era) return;
    for (const start of starts) {
      const { low } = assigned.find((each) => each.partition === start.partition)!;
      if (start.problem === null) this.#open(topic, start, low);
      else
        this.#resting.set(keyOf(topic, start.partition), {
          topic,
          ...start,
          problem: start.problem,
        });
    }
    this.#trouble = null;
    // At once: after a crash on a quiet topic nothing else would ever say that there is no lag.
    await this.#commit();
    if (era !== this.#era || this.#paused) return;
    const open = partitions.filter(
      (each) => this.#owned.get(keyOf(topic, each))?.reader.isFull === false,
    );
    this.#consumer.resume([{ topic, partitions: open }]);
  }

  #open(topic: string, { partition, next, stamp }: Start, low: number): void {
    const { destination, queueBytes, onTaken, log } = this.#options;
    const all = Object.values(this.#assignment).reduce((sum, each) => sum + each.length, 0);
    const place = { function: destination.name, topic, partition };
    const key = keyOf(topic, partition);
    const reader = new PartitionReader({ topic, partition, next }, destination, queueBytes / all, {
      full: (isFull) => {
        if (this.#owned.get(key)?.reader !== reader || this.#paused) return;
        if (isFull) this.#consumer.pause([{ topic, partitions: [partition] }]);
        else this.#consumer.resume([{ topic, partitions: [partition] }]);
      },
      taken: onTaken,
      failed: ({ from, records }, error) =>
        log.warn(
          { ...place, offset: from, records: records.length, error: messageOf(error) },
          'records could not be taken, trying again',
        ),
      moved: (moved) => {
        log.warn({ ...place, next: moved }, 'somebody else has moved the position, going on there');
        if (this.#owned.get(key)?.reader === reader) this.#restart(topic, partition);
      },
    });
    reader.hold(this.#paused);
    const isCompared = stamp !== null && next - 1 >= low;
    const fetch = isCompared ? next - 1 : next;
    this.#resting.delete(key);
    this.#owned.set(key, {
      reader,
      fetch,
      from: next,
      stamp: isCompared ? stamp : null,
      isOff: false,
      suspect: null,
    });
    this.#consumer.seek({ topic, partition, offset: String(fetch) });
  }

  /** What was read ahead is void: begins anew where the destination says. */
  #restart(topic: string, partition: number): void {
    const key = keyOf(topic, partition);
    const owned = this.#owned.get(key);
    this.#owned.delete(key);
    this.#committed.delete(key);
    this.#consumer.pause([{ topic, partitions: [partition] }]);
    void this.#begin(
      topic,
      [partition],
      owned === undefined ? Promise.resolve() : owned.reader.stop(),
    );
  }

  #receive(batch: {
    readonly topic: string;
    readonly partition: number;
    readonly highWatermark: string;
    readonly lastOffset: string;
    readonly messages: readonly KafkaMessage[];
    readonly fetchedOffset: string | null;
  }): void {
    const { topic, partition } = batch;
    const owned = this.#owned.get(keyOf(topic, partition));
    if (owned === undefined || owned.isOff) return;
    if (batch.fetchedOffset !== null && Number(batch.fetchedOffset) !== owned.fetch) {
      owned.isOff = true;
      this.#consumer.pause([{ topic, partitions: [partition] }]);
      return;
    }
    const next = Number(batch.lastOffset) + 1;
    owned.fetch = next;
    const records = batch.messages.map(toRecord);
    const first = records[0];
    if (first !== undefined && first.offset < owned.from) {
      if (
        owned.stamp !== null &&
        first.offset === owned.from - 1 &&
        first.timestamp !== owned.stamp
      ) {
        void this.#rest(topic, partition, owned);
        return;
      }
      records.splice(0, records.findLastIndex((record) => record.offset < owned.from) + 1);
    }
    if (next <= owned.from) return;
    let bytes = 0;
    for (const { value, key } of records) bytes += (value?.length ?? 0) + (key?.length ?? 0);
    owned.reader.push({ records, bytes, next, end: Number(batch.highWatermark) });
  }

  async #rest(topic: string, partition: number, { from }: Owned): Promise<void> {
    const problem = `record ${from - 1} of the topic is not the one that was read: was the topic made anew?`;
    try {
      await this.#options.destination.rest(topic, partition, problem);
    } catch (error) {
      this.#options.log.warn({ topic, partition, error: messageOf(error) }, problem);
    }
    this.#restart(topic, partition);
  }

  async #extents(topic: string, partitions: readonly number[]): Promise<Assigned[]> {
    const ends = await this.#admin.fetchTopicOffsets(topic);
    const [group] = await this.#admin.fetchOffsets({
      groupId: this.#options.group,
      topics: [topic],
    });
    return ends
      .filter((each) => partitions.includes(each.partition))
      .map(({ partition, low, high }) => {
        const stored = group?.partitions.find((each) => each.partition === partition)?.offset;
        const committed = stored === undefined || Number(stored) < 0 ? null : Number(stored);
        return { partition, low: Number(low), high: Number(high), committed };
      });
  }

  async #watch(): Promise<void> {
    const { destination } = this.#options;
    for (const [topic, partitions] of Object.entries(this.#assignment)) {
      const era = this.#era;
      const extents: Extent[] = (await this.#admin.fetchTopicOffsets(topic))
        .filter((each) => partitions.includes(each.partition))
        .map((each) => ({ ...each, low: Number(each.low), high: Number(each.high) }));
      if (era !== this.#era) return;
      const read = extents.filter(({ partition }) => this.#owned.has(keyOf(topic, partition)));
      const { paused, positions } = await destination.see(topic, read);
      if (era !== this.#era) return;
      this.#setPaused(paused);
      for (const extent of extents) this.#check(topic, extent, positions.get(extent.partition));
    }
    for (const { topic, partition } of this.#resting.values()) {
      // somebody may have decided
      if (this.#beginning === 0) this.#restart(topic, partition);
    }
    if (this.#beginning === 0) this.#trouble = null;
    await this.#commit();
  }

  /**
   * Where the topic does not hold the next record any more, kafkajs goes on at the earliest and says so
   * with the first record it gets there, which may never come; and a person may have moved the
   * position. Looks twice: while it asked, a chunk may have been committed and more been fetched.
   */
  #check(topic: string, { partition, low, high }: Extent, stored: number | undefined): void {
    const owned = this.#owned.get(keyOf(topic, partition));
    if (owned === undefined) return;
    const { reader, fetch } = owned;
    this.#options.onLag(topic, partition, Math.max(0, high - reader.next));
    const isOutside = fetch < low || fetch > high;
    const isElsewhere = stored !== undefined && stored !== reader.next;
    const suspect = isOutside || isElsewhere ? `${fetch} ${reader.next} ${stored}` : null;
    const isSure = owned.isOff || (suspect !== null && owned.suspect === suspect);
    owned.suspect = suspect;
    // what waits is not lost
    if (isSure && reader.isIdle) this.#restart(topic, partition);
  }

  #setPaused(paused: boolean): void {
    if (paused === this.#paused) return;
    this.#paused = paused;
    this.#options.log.info(
      { function: this.#options.destination.name },
      paused ? 'paused' : 'resumed',
    );
    for (const { reader } of this.#owned.values()) {
      const which = [{ topic: reader.topic, partitions: [reader.partition] }];
      reader.hold(paused);
      if (paused) this.#consumer.pause(which);
      else if (!reader.isFull) this.#consumer.resume(which);
    }
  }

  #pause(assignment: Readonly<Record<string, readonly number[]>>): void {
    for (const [topic, partitions] of Object.entries(assignment))
      if (partitions.length > 0) this.#consumer.pause([{ topic, partitions: [...partitions] }]);
  }

  async #end(owned: readonly Owned[]): Promise<void> {
    await Promise.all(owned.map(({ reader }) => reader.stop()));
  }

  /** Tells Kafka how far the partitions are. What fails, in a rebalance or without a broker, comes with the next. */
  async #commit(): Promise<void> {
    const news = [...this.#owned.values()].flatMap(({ reader }) => {
      const { topic, partition, next } = reader;
      return this.#committed.get(keyOf(topic, partition)) === next
        ? []
        : [{ topic, partition, next }];
    });
    if (news.length === 0) return;
    try {
      await this.#consumer.commitOffsets(
        news.map(({ topic, partition, next }) => ({ topic, partition, offset: String(next) })),
      );
      for (const { topic, partition, next } of news)
        this.#committed.set(keyOf(topic, partition), next);
    } catch (error) {
      this.#options.log.info({ error: messageOf(error) }, 'offsets are committed to Kafka later');
    }
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic} ${partition}`;
}

const NO_HEADERS: TopicRecord['headers'] = {};

function toRecord({ offset, timestamp, key, value, headers }: KafkaMessage): TopicRecord {
  return {
    offset: Number(offset),
    timestamp: Number(timestamp),
    key,
    value,
    headers: headers === undefined ? NO_HEADERS : toHeaders(headers),
  };
}

function toHeaders(headers: NonNullable<KafkaMessage['headers']>): TopicRecord['headers'] {
  let found: Record<string, Buffer> | null = null;
  for (const name in headers) {
    const last = [headers[name]].flat().at(-1);
    found ??= {};
    found[name] = last == null ? Buffer.alloc(0) : Buffer.from(last as Buffer);
  }
  return found ?? NO_HEADERS;
}
