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

/** A chunk of records, as it was read from its partition. */
export interface RecordChunk extends Chunk {
  /** In the order of their offsets, which lie between `from` and `next`, exclusively. */
  readonly records: readonly TopicRecord[];
}

export type Applied =
  /** Everything below the chunk's `next` has been committed. */
  | { readonly kind: 'applied'; readonly parked: readonly ParkReason[] }
  /** The position is not at the chunk's `from`: nothing was written, and reading continues at `next`. */
  | { readonly kind: 'moved'; readonly next: number | null };

const MOVE_POSITION = sql('move-position');
const PARK_RECORDS = sql('park-records');

interface Entry<R> {
  readonly record: TopicRecord;
  readonly value: R;
}

/** A chunk with its decoded records, and those to park because they can't be decoded. */
interface DecodedChunk<R> extends RecordChunk {
  readonly entries: readonly Entry<R>[];
  readonly parkings: readonly Parking[];
}

/**
 * Chunks applies chunks to a projection, each in one transaction with the position of its partition. It does not
 * depend on Kafka: any source of numbered records can feed it, one chunk of a partition at a time.
 */
export class Chunks<R = unknown> {
  readonly #database: Database;
  readonly #function: number;
  readonly #definition: ProjectionDefinition<R>;

  /** `fn` is the id of the registered projection. */
  constructor(database: Database, fn: number, definition: ProjectionDefinition<R>) {
    this.#database = database;
    this.#function = fn;
    this.#definition = definition;
  }

  /**
   * Resolves when the chunk is committed, or if the position does not match. Rejects on any other failure; the
   * chunk can then be applied again without losing or repeating anything, even if it is unknown whether it was
   * committed.
   */
  async apply(chunk: RecordChunk): Promise<Applied> {
    const parked: ParkReason[] = [];
    const { from, next } = chunk;
    if (await this.#commit(this.#decode(chunk), parked)) return { kind: 'applied', parked };
    const stored = await this.#position(chunk);
    // an earlier attempt was committed, but its answer was lost
    if (stored === next && next > from) return { kind: 'applied', parked };
    return { kind: 'moved', next: stored };
  }

  #decode(chunk: RecordChunk): DecodedChunk<R> {
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

  /** Returns false if the position does not match. If a record is at fault, commits one half after the other. */
  async #commit(chunk: DecodedChunk<R>, parked: ParkReason[]): Promise<boolean> {
    try {
      const isApplied = await retry(() => this.#transact(chunk), LOST_RACE);
      // If the chunk was not applied, an earlier attempt has parked these, or the result is not used.
      parked.push(...chunk.parkings.map((each) => each.reason as ParkReason));
      return isApplied;
    } catch (error) {
      const { entries } = chunk;
      const [first] = entries;
      if (first === undefined || !(isBadValue(error) || error instanceof TerminalError)) {
        throw error;
      }
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

  async #transact({ records, entries, parkings, ...chunk }: DecodedChunk<R>): Promise<boolean> {
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
