import type { TopicRecord } from '../../function.ts';
import type { RecordChunk } from '../../state/projections/chunks.ts';
import type { RecordHandler } from './record-handler.ts';

/** Waits between attempts to commit a chunk, doubled from the first to the last. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 5_000;

/** Memory that a record needs beside its bytes. */
const RECORD_OVERHEAD = 400;

/** The records of one fetch. */
export interface Fetched {
  readonly records: readonly TopicRecord[];
  /** Bytes of the records. */
  readonly bytes: number;
  /** Offset of the next fetch. */
  readonly next: number;
  /** Offset after the partition's newest record. */
  readonly end: number;
}

interface Waiting extends Fetched {
  /** Time of arrival by the monotonic clock. */
  readonly since: number;
}

export interface PartitionEvents {
  /** The limit of waiting records is reached, or no longer reached. */
  full(isFull: boolean): void;
  taken(chunk: RecordChunk, seconds: number): void;
  /** A chunk failed and is retried after a wait. */
  failed(chunk: RecordChunk, error: unknown): void;
  /** The position was moved: this reader has ended, and the partition has to restart. */
  moved(next: number | null): void;
}

/**
 * PartitionReader passes one partition's records to their handler, chunk by chunk; each chunk holds what has arrived
 * while the previous one was being committed. It is independent of Kafka, so fetching never waits for it, and a
 * partition that is stuck delays no other one.
 */
export class PartitionReader {
  readonly topic: string;
  readonly partition: number;
  readonly #handler: RecordHandler;
  readonly #limit: number;
  readonly #events: PartitionEvents;
  #next: number;
  #end: number;
  #waiting: Waiting[] = [];
  #bytes = 0;
  #records = 0;
  #isFull = false;
  #isHeld = false;
  #isFailing = false;
  #isTaking = false;
  #stopped = false;
  #wake: (() => void) | undefined;
  readonly #ended: Promise<void>;

  constructor(
    place: { readonly topic: string; readonly partition: number; readonly next: number },
    handler: RecordHandler,
    /** Maximum size of all waiting records in bytes. */
    limit: number,
    events: PartitionEvents,
  ) {
    this.topic = place.topic;
    this.partition = place.partition;
    this.#next = place.next;
    this.#end = place.next;
    this.#handler = handler;
    this.#limit = limit;
    this.#events = events;
    this.#ended = this.#run();
  }

  /** All records below this offset are committed. */
  get next(): number {
    return this.#next;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** Whether no records wait to be committed. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && !this.#isTaking;
  }

  /** Whether a chunk is being retried. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  /** Accepts fetched records; the caller checks `isFull` before it fetches. */
  push(fetched: Fetched): void {
    if (this.#stopped) return;
    this.#waiting.push({ ...fetched, since: performance.now() });
    this.#end = Math.max(fetched.end, fetched.next);
    this.#count(fetched, 1);
    this.#wake?.();
  }

  /** Starts no chunks while held. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.#wake?.();
  }

  /** Resolves when the chunk in progress is committed or has failed; no chunk follows. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wake?.();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      if (this.#waiting.length === 0 || this.#isHeld) {
        await this.#rest(null);
        continue;
      }
      await this.#linger();
      const next = await this.#takeNext();
      if (next === undefined) continue;
      if (next.actual !== next.expected) {
        this.#stopped = true;
        this.#events.moved(next.actual);
        return;
      }
      this.#next = next.expected;
    }
  }

  /** Handles a chunk of the waiting records; returns the next offset, or undefined if the reader stopped before that. */
  async #takeNext(): Promise<{ expected: number; actual: number | null } | undefined> {
    const { semaphore } = this.#handler;
    let chunk: RecordChunk | null = null;
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      await semaphore.enter();
      try {
        if (this.#stopped || (this.#isHeld && chunk === null)) return undefined;
        // Cut as late as possible, because more records have arrived. A retried chunk stays the same: the previous
        // attempt may have been committed without an answer.
        chunk ??= this.#cut();
        return { expected: chunk.next, actual: await this.#handle(chunk) };
      } catch (error) {
        this.#isFailing = true;
        this.#events.failed(chunk!, error);
      } finally {
        semaphore.leave();
      }
      await this.#restFully(wait * (0.5 + Math.random() / 2));
    }
  }

  async #handle(chunk: RecordChunk): Promise<number | null> {
    this.#isTaking = true;
    const began = performance.now();
    const next = await this.#handler.handle(chunk);
    this.#isTaking = false;
    this.#isFailing = false;
    if (next === chunk.next) this.#events.taken(chunk, (performance.now() - began) / 1000);
    return next;
  }

  async #linger(): Promise<void> {
    const end = this.#waiting[0]!.since + this.#handler.lingerMs;
    for (;;) {
      const ms = end - performance.now();
      if (ms <= 0 || this.#stopped || this.#isFull || this.#hasFullChunk()) return;
      await this.#rest(ms);
    }
  }

  #hasFullChunk(): boolean {
    const { chunkRecords, chunkBytes } = this.#handler;
    return this.#records >= chunkRecords || this.#bytes >= chunkBytes;
  }

  #cut(): RecordChunk {
    const { chunkRecords, chunkBytes } = this.#handler;
    const { topic, partition } = this;
    const from = this.#next;
    const records: TopicRecord[] = [];
    let next = from;
    let bytes = 0;
    let whole = 0;
    for (const fetched of this.#waiting) {
      const room = chunkRecords - records.length;
      if (records.length > 0 && (room <= 0 || bytes + fetched.bytes > chunkBytes)) break;
      if (fetched.records.length > room) {
        this.#split(whole, room);
        const part = this.#waiting[whole]!;
        for (const record of part.records) records.push(record);
        next = part.next;
        whole += 1;
        break;
      }
      for (const record of fetched.records) records.push(record);
      next = fetched.next;
      bytes += fetched.bytes;
      whole += 1;
    }
    for (const fetched of this.#waiting.splice(0, whole)) this.#count(fetched, -1);
    return { topic, partition, from, next, end: this.#end, records };
  }

  /** Splits a fetch: its first records stay in place, the others follow. */
  #split(index: number, count: number): void {
    const fetched = this.#waiting[index]!;
    const bytes = Math.round((fetched.bytes * count) / fetched.records.length);
    const [first, rest] = [fetched.records.slice(0, count), fetched.records.slice(count)];
    this.#waiting.splice(
      index,
      1,
      { ...fetched, records: first, bytes, next: rest[0]!.offset },
      { ...fetched, records: rest, bytes: fetched.bytes - bytes },
    );
  }

  #count({ records, bytes }: Fetched, sign: 1 | -1): void {
    this.#records += sign * records.length;
    this.#bytes += sign * bytes;
    const held = this.#bytes + this.#records * RECORD_OVERHEAD;
    const isFull = this.#isFull ? held > this.#limit / 2 : held >= this.#limit;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#events.full(isFull);
  }

  /** Waits for the whole time even if records arrive; only a stop ends it early. */
  async #restFully(ms: number): Promise<void> {
    const end = performance.now() + ms;
    for (let left = ms; left > 0 && !this.#stopped; left = end - performance.now()) {
      await this.#rest(left);
    }
  }

  /** Waits until something happens, at most this time. */
  async #rest(ms: number | null): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (ms !== null) timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.#wake = undefined;
  }
}
