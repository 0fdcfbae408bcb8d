import {
  TerminalError,
  type Chunk,
  type ProjectionDefinition,
  type TopicRecord,
} from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import { retry } from '../../lib/retry.ts';
import { authored } from './chunk-tx.ts';
import { isBadValue, LOST_RACE, type Database } from '../database/database.ts';
import type { ParkReason } from '../outcome.ts';
import { toParking, type Parking } from '../ingest/parking.ts';
import { sql } from '../sql.ts';

/** A chunk as it was read from its partition. */
export interface RecordChunk extends Chunk {
  /** In the order of their offsets, each from `from` on and below `next`. */
  readonly records: readonly TopicRecord[];
}

export type Applied =
  /** Everything below the chunk's `next` is committed. */
  | { readonly kind: 'applied'; readonly parked: readonly ParkReason[] }
  /** The position is not where the chunk begins: nothing of it was written, and reading goes on there. */
  | { readonly kind: 'moved'; readonly next: number | null };

const MOVE_POSITION = sql('move-position');
const PARK_RECORDS = sql('park-records');

interface Entry<R> {
  readonly record: TopicRecord;
  readonly value: R;
}

/** A chunk with its records read, and those kept aside that can't be. */
interface ReadChunk<R> extends RecordChunk {
  readonly entries: readonly Entry<R>[];
  readonly parkings: readonly Parking[];
}

/**
 * Applies chunks of a projection, each in one transaction with the position of its partition. It knows
 * nothing of Kafka: whatever numbers records may feed it, one chunk of a partition at a time.
 */
export class Chunks<R = unknown> {
  readonly #database: Database;
  readonly #function: number;
  readonly #definition: ProjectionDefinition<R>;

  /** `fn`: id of the registered projection. */
  constructor(database: Database, fn: number, definition: ProjectionDefinition<R>) {
    this.#database = database;
    this.#function = fn;
    this.#definition = definition;
  }

  /**
   * Resolves when the chunk is committed, or was not its turn. Whatever else goes wrong is thrown: then
   * nothing is lost and nothing done twice by applying the same chunk again, also when it is not known
   * whether it was committed.
   */
  async apply(chunk: RecordChunk): Promise<Applied> {
    const parked: ParkReason[] = [];
    const { from, next } = chunk;
    if (await this.#commit(this.#read(chunk), parked)) return { kind: 'applied', parked };
    const stored = await this.#position(chunk);
    // An earlier try was committed, and its answer was lost on the way.
    if (stored === next && next > from) return { kind: 'applied', parked };
    return { kind: 'moved', next: stored };
  }

  #read(chunk: RecordChunk): ReadChunk<R> {
    const entries: Entry<R>[] = [];
    const parkings: Parking[] = [];
    for (const record of chunk.records) {
      try {
        const value = this.#definition.read(record);
        if (value !== undefined) entries.push({ record, value });
      } catch (error) {
        parkings.push(this.#parking(chunk, record, 'not-a-record', error));
      }
    }
    return { ...chunk, entries, parkings };
  }

  /** False: it was not its turn. Where a record is at fault the halves are committed one after the other. */
  async #commit(chunk: ReadChunk<R>, parked: ParkReason[]): Promise<boolean> {
    try {
      const held = await retry(() => this.#transact(chunk), LOST_RACE);
      // Where it was not held, either an earlier try has parked them, or nobody asks.
      parked.push(...chunk.parkings.map((each) => each.reason as ParkReason));
      return held;
    } catch (error) {
      const { entries } = chunk;
      const [first] = entries;
      if (first === undefined || !(isBadValue(error) || error instanceof TerminalError))
        throw error;
      if (entries.length === 1) {
        const reason = error instanceof TerminalError ? 'refused' : 'bad-value';
        const culprit = this.#parking(chunk, first.record, reason, error);
        return this.#commit(
          { ...chunk, entries: [], parkings: [...chunk.parkings, culprit] },
          parked,
        );
      }
      const middle = entries.length >> 1;
      const cut = entries[middle]!.record.offset;
      const before = { ...chunk, next: cut, entries: entries.slice(0, middle) };
      const after = { ...chunk, from: cut, entries: entries.slice(middle), parkings: [] };
      return (await this.#commit(before, parked)) && (await this.#commit(after, parked));
    }
  }

  async #transact({ records, entries, parkings, ...chunk }: ReadChunk<R>): Promise<boolean> {
    const { topic, partition, from, next, end } = chunk;
    const last = records.findLast((record) => record.offset === next - 1);
    return authored(this.#database.chunks, async (transaction) => {
      const values = [this.#function, topic, partition, from, next, end, last?.timestamp ?? null];
      const moved = await transaction.query({ ...MOVE_POSITION, values });
      if (moved.rowCount === 0) return false;
      if (entries.length > 0) {
        await this.#definition.apply(
          entries.map((entry) => entry.value),
          chunk,
          transaction.tx,
        );
      }
      if (parkings.length > 0) {
        await transaction.query({
          ...PARK_RECORDS,
          values: [
            parkings.map((each) => each.digest),
            parkings.map((each) => each.reason),
            parkings.map((each) => each.detail),
            parkings.map((each) => each.attributes),
            parkings.map((each) => each.body),
          ],
        });
      }
      return true;
    });
  }

  async #position({ topic, partition }: Chunk): Promise<number | null> {
    const { rows } = await this.#database.control.query<{ next: string }>(
      'select next from muster.position where function = $1 and topic = $2 and partition = $3',
      [this.#function, topic, partition],
    );
    return rows[0] === undefined ? null : Number(rows[0].next);
  }

  #parking(chunk: Chunk, record: TopicRecord, reason: ParkReason, error: unknown): Parking {
    const attributes = {
      specversion: '1.0',
      id: `partition:${chunk.partition}/offset:${record.offset}`,
      source: `/kafka#${chunk.topic}`,
      type: 'dev.knative.kafka.event',
      projection: this.#definition.name,
      kafkatopic: chunk.topic,
      knativekafkapartition: String(chunk.partition),
      knativekafkaoffset: String(record.offset),
    };
    const origin = { attributes, contentType: null, body: record.value ?? Buffer.alloc(0) };
    return toParking(origin, reason, errorText(error));
  }
}
