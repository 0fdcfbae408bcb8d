import { milliseconds } from '../duration.ts';
import type { Log, ProjectionDefinition } from '../function.ts';
import { Chunks, type RecordChunk } from '../state/chunks.ts';
import type { Database } from '../state/database.ts';
import type { ParkReason } from '../state/outcome.ts';
import { Positions, type Extent, type Sight } from '../state/positions.ts';
import { Gate } from './gate.ts';
import type { Assigned, Destination, Start } from './destination.ts';

const CHUNK_RECORDS = 10_000;
const CHUNK_BYTES = 8 * 1024 * 1024;
const LINGER = '100 milliseconds';

export interface ProjectionEvents {
  readonly onParked: (reason: ParkReason) => void;
  readonly onLost: (records: number) => void;
}

/** A projection's records: positions are rows, moved in the transaction of each chunk. */
export class ProjectionDestination implements Destination {
  readonly name: string;
  readonly topics: readonly string[];
  readonly chunkRecords: number;
  readonly chunkBytes = CHUNK_BYTES;
  readonly lingerMs: number;
  readonly gate: Gate;
  readonly #positions: Positions;
  readonly #chunks: Chunks;
  readonly #log: Log;
  readonly #events: ProjectionEvents;

  constructor(
    database: Database,
    /** Chunks at a time: connections that there are for them. */
    writers: number,
    { id, definition }: { readonly id: number; readonly definition: ProjectionDefinition },
    log: Log,
    events: ProjectionEvents,
  ) {
    this.name = definition.name;
    this.topics = [definition.topic];
    this.chunkRecords = definition.chunkRecords ?? CHUNK_RECORDS;
    this.gate = new Gate(writers);
    this.lingerMs = milliseconds(definition.linger ?? LINGER);
    this.#positions = new Positions(database, id, definition.topic);
    this.#chunks = new Chunks(database, id, definition);
    this.#log = log;
    this.#events = events;
  }

  async begin(topic: string, assigned: readonly Assigned[]): Promise<Start[]> {
    const extents = new Map(assigned.map((each) => [each.partition, each]));
    const starts: Start[] = [];
    for (const stored of await this.#positions.begin(assigned)) {
      const { partition, next, problem } = stored;
      const { low, high } = extents.get(partition)!;
      if (problem === null && next < low) {
        starts.push(await this.#skipLost(topic, partition, next, low));
      } else if (problem === null && next > high) {
        const beyond = `position ${next} is beyond the topic's end, ${high}: was the topic made anew?`;
        await this.rest(topic, partition, beyond);
        starts.push({ ...stored, problem: beyond });
      } else {
        starts.push(stored);
      }
    }
    return starts;
  }

  async take(chunk: RecordChunk): Promise<number | null> {
    const applied = await this.#chunks.apply(chunk);
    if (applied.kind === 'moved') return applied.next;
    for (const reason of applied.parked) this.#events.onParked(reason);
    return chunk.next;
  }

  async rest(topic: string, partition: number, problem: string): Promise<void> {
    await this.#positions.rest(partition, problem);
    this.#log.error(
      { function: this.name, topic, partition, problem },
      `a partition rests until 'muster seek' says where it goes on`,
    );
  }

  see(_topic: string, extents: readonly Extent[]): Promise<Sight> {
    return this.#positions.see(extents);
  }

  async #skipLost(topic: string, partition: number, next: number, low: number): Promise<Start> {
    if (!(await this.#positions.lose(partition, next, low)))
      throw new Error(`somebody else has moved the position of partition ${partition}`);
    this.#events.onLost(low - next);
    this.#log.error(
      { function: this.name, topic, partition, from: next, to: low, records: low - next },
      'the topic no longer holds records that were not read yet; they are lost',
    );
    return { partition, next: low, stamp: null, problem: null };
  }
}
