import { milliseconds } from '../../lib/duration.ts';
import type { Log, ProjectionDefinition } from '../../function.ts';
import { Chunks, type RecordChunk } from '../../state/projections/chunks.ts';
import type { Database } from '../../state/database/database.ts';
import type { ParkReason } from '../../state/outcome.ts';
import {
  Positions,
  type Progress,
  type StoredPosition,
} from '../../state/projections/positions.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import type { Assignment, RecordHandler, Look, Start } from './record-handler.ts';

const CHUNK_RECORDS = 10_000;
const CHUNK_BYTES = 8 * 1024 * 1024;
const LINGER = '100 milliseconds';

export interface ProjectionEvents {
  readonly onParked: (reason: ParkReason) => void;
  readonly onLost: (records: number) => void;
  readonly onGone: (partitions: number) => void;
}

/** ProjectionHandler applies a projection's records; its positions are rows, moved in the transaction of each chunk. */
export class ProjectionHandler implements RecordHandler {
  readonly name: string;
  readonly topics: readonly string[];
  readonly chunkRecords: number;
  readonly chunkBytes = CHUNK_BYTES;
  readonly lingerMs: number;
  readonly semaphore: Semaphore;
  readonly #positions: Positions;
  readonly #chunks: Chunks;
  readonly #log: Log;
  readonly #events: ProjectionEvents;
  /** Id of the topic whose partitions were compared with the rows. */
  #compared: string | null = null;

  constructor(
    database: Database,
    /** Concurrent chunks: the number of connections for them. */
    writers: number,
    { id, definition }: { readonly id: number; readonly definition: ProjectionDefinition },
    log: Log,
    events: ProjectionEvents,
  ) {
    this.name = definition.name;
    this.topics = [definition.topic];
    this.chunkRecords = definition.chunkRecords ?? CHUNK_RECORDS;
    this.semaphore = new Semaphore(writers);
    this.lingerMs = milliseconds(definition.linger ?? LINGER);
    this.#positions = new Positions(database, id, definition.topic);
    this.#chunks = new Chunks(database, id, definition);
    this.#log = log;
    this.#events = events;
  }

  async begin(topic: string, { committed, look, isOwner }: Assignment): Promise<Start[]> {
    const partitions = committed.map(({ partition }) => partition);
    let stored = await this.#positions.stored(partitions);
    if (stored.length < partitions.length) {
      const known = new Set(stored.map(({ partition }) => partition));
      const { id, ranges } = await look();
      if (!isOwner()) return [];
      await this.#positions.begin(
        ranges.filter(({ partition }) => !known.has(partition)),
        id,
      );
      stored = await this.#positions.stored(partitions);
    }
    // After the positions have been read; see Assignment.look.
    const now = await look();
    const starts: Start[] = [];
    for (const each of stored) {
      if (!isOwner()) return [];
      const start = await this.#start(topic, each, now);
      if (start !== null) starts.push(start);
    }
    return starts;
  }

  /** Returns null if the topic no longer has the partition. */
  async #start(topic: string, stored: StoredPosition, { id, ranges }: Look): Promise<Start | null> {
    const { partition, next, topicId, problem } = stored;
    const range = ranges.find((each) => each.partition === partition);
    if (range === undefined) return null;
    if (problem !== null) return stored;
    const { low, high } = range;
    const isBeyond = next > high;
    const isRecreated = id !== null && topicId !== null && id !== topicId && next > 0;
    if (isRecreated) {
      const what = isBeyond
        ? `position ${next} is beyond the topic's end, ${high}`
        : `record ${next - 1} of the topic is not the one that was read`;
      const recreated = `${what}: the topic was recreated`;
      await this.rest(topic, partition, next, recreated);
      return { ...stored, problem: recreated };
    }
    // Not stored: the numbers alone don't tell what happened, so the partition is checked again.
    if (isBeyond) return { ...stored, problem: beyond(next, high, id !== null && id === topicId) };
    if (next < low) return this.#skipLost(topic, partition, next, low);
    if (id !== null && id !== topicId) await this.#positions.adopt(partition, next, id);
    return stored;
  }

  async handle(chunk: RecordChunk): Promise<number | null> {
    const applied = await this.#chunks.apply(chunk);
    if (applied.kind === 'moved') return applied.next;
    for (const reason of applied.parked) this.#events.onParked(reason);
    return chunk.next;
  }

  async rest(topic: string, partition: number, next: number, problem: string): Promise<void> {
    if (!(await this.#positions.rest(partition, problem, next))) return;
    this.#log.error(
      { function: this.name, topic, partition, problem },
      `a partition rests until 'muster seek' sets its position`,
    );
  }

  async report(
    topic: string,
    read: readonly number[],
    look: Assignment['look'],
  ): Promise<Progress> {
    const asked = await this.#positions.clock();
    const now = await look();
    if (now.id !== this.#compared) await this.#forgetGone(topic, now);
    const ranges = now.ranges.filter(({ partition }) => read.includes(partition));
    return this.#positions.report(ranges, asked);
  }

  async #forgetGone(topic: string, { id, partitions }: Look): Promise<void> {
    if (id === null || partitions === null) return;
    const gone = await this.#positions.forget(id, partitions);
    this.#compared = id;
    if (gone.length === 0) return;
    this.#events.onGone(gone.length);
    for (const { partition, next, lost } of gone) {
      if (lost > 0) this.#events.onLost(lost);
      this.#log.error(
        { function: this.name, topic, partition, position: next, records: lost },
        'the topic was recreated without this partition, whose position was deleted; records of it that were not read are lost',
      );
    }
  }

  async #skipLost(topic: string, partition: number, next: number, low: number): Promise<Start> {
    if (!(await this.#positions.lose(partition, next, low))) {
      throw new Error(`another process has moved the position of partition ${partition}`);
    }
    this.#events.onLost(low - next);
    this.#log.error(
      { function: this.name, topic, partition, from: next, to: low, records: low - next },
      'the topic no longer holds records that were not read; they are lost',
    );
    return { partition, next: low, lastTimestamp: null, problem: null };
  }
}

function beyond(next: number, high: number, isSame: boolean): string {
  const why = isSame
    ? 'its log was truncated, though it is the same topic'
    : 'was the topic recreated? Its id is not known';
  return `position ${next} is beyond the topic's end, ${high}: ${why}; set the position with 'muster seek'`;
}
