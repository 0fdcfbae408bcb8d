import type { Origin } from '../change.ts';
import { isBadValue, sqlState, unavailable } from '../database/database.ts';
import type { MemberRow } from './member.ts';
import { withdraw } from './withdraw.ts';
import { isNewer } from '../version.ts';
import { Unavailable, type Outcome } from '../outcome.ts';
import type { IngestedBatch, Store } from './store.ts';
import type { Capacity, Lease } from '../lease.ts';
import { failpoint } from '../../lib/failpoint.ts';
import { batchSpan, endFailed } from '../../telemetry/spans.ts';

/** Larger batches only add latency. Throughput by size: 64 events 0.44x, 256 1.00x, 1024 0.75x. */
const MAX_EVENTS = 256;
const MAX_BYTES = 4 * 1024 * 1024;
/** Queued events that justify a further writer. */
const WORTH_A_WRITER = 64;
/** Time after which a statement counts as slow, so that a further writer may begin. */
const SLOW_MS = 20;

/** The part of this process' handler slots that the batcher uses. */
export interface Slots {
  /** Reserves all that is free, for runs that the next statement may create leased. */
  reserve(): Capacity;
  /** Starts the leased runs, and releases what was reserved and not used. */
  start(leases: readonly Lease[], reserved: Capacity): void;
}

export interface BatcherOptions {
  /** Maximum number of concurrent statements. */
  readonly writers: number;
  /** Maximum size in bytes of the events that wait or are in flight; further events are refused. */
  readonly maxBytes: number;
  readonly onIngested: (ingested: IngestedBatch, events: number) => void;
  /** Called when a newer definition is registered, so that this process can't ingest any more. */
  readonly onSuperseded: (error: Unavailable) => void;
}

/** Outcome of an event that was not ingested, because that requires knowing a stored row. */
export interface Unresolved {
  readonly kind: 'unresolved';
}

interface Item {
  readonly rows: readonly MemberRow[];
  readonly origin: Origin;
  /** Size of the rows as sent in the statement. */
  readonly bytes: number;
  /** Memory used until the event is answered: the rows and the event itself. */
  readonly held: number;
  readonly resolve: (outcome: Outcome | Unresolved) => void;
  readonly reject: (error: Unavailable) => void;
}

/**
 * Batcher implements group commit: a free writer takes all queued events, and the events that arrive during its
 * statement form the next batch. It never delays a batch to fill it (a linger of 1 ms costs a third to two
 * thirds of the throughput).
 */
export class Batcher {
  readonly #store: Store;
  readonly #slots: Slots;
  readonly #options: BatcherOptions;
  #queue: Item[] = [];
  #bytes = 0;
  #writing = 0;
  #wroteAt = 0;
  #scheduled = false;

  constructor(store: Store, slots: Slots, options: BatcherOptions) {
    this.#store = store;
    this.#slots = slots;
    this.#options = options;
  }

  /** Number of queued events plus running statements; 0 when every event has been answered. */
  get pending(): number {
    return this.#queue.length + this.#writing;
  }

  /** Resolves when the rows are committed; throws {@link Unavailable}. */
  ingest(rows: readonly MemberRow[], origin: Origin): Promise<Outcome | Unresolved> {
    const bytes = sizeOf(rows);
    const held = bytes + (origin.size ?? origin.body.byteLength);
    if (this.#bytes + held > this.#options.maxBytes && this.#bytes > 0) {
      throw new Unavailable(
        'overload',
        `${this.#bytes} bytes of events are waiting for the database`,
      );
    }
    this.#bytes += held;
    return new Promise((resolve, reject) => {
      this.#queue.push({ rows, origin, bytes, held, resolve, reject });
      // Waiting one turn of the event loop lets requests that arrived together share a statement.
      if (!this.#scheduled && this.#mayWrite()) {
        this.#scheduled = true;
        setImmediate(() => {
          this.#scheduled = false;
          this.#pump();
        });
      }
    });
  }

  /**
   * Whether a writer may begin. A further one begins only if the others are slow or many events are queued: two
   * writers with few events only halve the batches (with 99 events in flight, Postgres takes 39 µs per event
   * with one writer, 49 µs with two).
   */
  #mayWrite(): boolean {
    if (this.#writing === 0) return true;
    if (this.#writing >= this.#options.writers) return false;
    return this.#queue.length >= WORTH_A_WRITER || performance.now() - this.#wroteAt > SLOW_MS;
  }

  #pump(): void {
    while (this.#queue.length > 0 && this.#mayWrite()) {
      const batch = this.#take();
      this.#writing++;
      this.#wroteAt = performance.now();
      void this.#write(batch).finally(() => {
        this.#writing--;
        for (const item of batch) this.#bytes -= item.held;
        this.#pump();
      });
    }
  }

  #take(): Item[] {
    let bytes = 0;
    let n = 0;
    for (const item of this.#queue) {
      // Only Postgres can merge two versions of a row with missing columns, one after the other.
      const alone = item.rows.some((row) => row.missingColumns !== null);
      if (n > 0 && (alone || n === MAX_EVENTS || bytes + item.bytes > MAX_BYTES)) break;
      bytes += item.bytes;
      n++;
      if (alone) break;
    }
    const batch = this.#queue.slice(0, n);
    this.#queue = this.#queue.slice(n);
    return batch;
  }

  /** Ingests a batch. If Postgres refuses a value, bisects the batch to find the event, and parks that. */
  async #write(batch: readonly Item[]): Promise<void> {
    const rows = newestRows(batch);
    const span = batchSpan(batch, rows.length);
    const reserved = this.#slots.reserve();
    let leases: readonly Lease[] = [];
    try {
      failpoint('before-commit');
      const ingested = await this.#store.ingest(rows, reserved);
      failpoint('after-commit');
      span?.setAttributes({ 'muster.rows.ingested': ingested.ingested }).end();
      leases = ingested.leases;
      this.#options.onIngested(ingested, batch.length);
      const unresolved = new Set(ingested.unresolved.map((each) => each.join('/')));
      for (const item of batch) {
        item.resolve({ kind: isIn(unresolved, item) ? 'unresolved' : 'ingested' });
      }
    } catch (error) {
      const state = sqlState(error) ?? undefined;
      endFailed(span, state ?? 'unavailable', { 'db.response.status_code': state });
      if (isBadValue(error)) await this.#divide(batch, error as Error);
      else this.#refuse(batch, unavailable(error));
    } finally {
      this.#slots.start(leases, reserved);
    }
  }

  #refuse(batch: readonly Item[], error: Unavailable): void {
    if (error.reason === 'superseded') this.#options.onSuperseded(error);
    for (const item of batch) item.reject(error);
  }

  async #divide(batch: readonly Item[], error: Error): Promise<void> {
    const [first] = batch;
    if (batch.length > 1) {
      const middle = batch.length >> 1;
      await this.#write(batch.slice(0, middle));
      await this.#write(batch.slice(middle));
    } else if (first !== undefined) {
      try {
        await this.#store.park(first.origin, 'bad-value', error.message);
        await withdraw(this.#store, first.rows);
        first.resolve({ kind: 'parked', reason: 'bad-value', detail: error.message });
      } catch (cause) {
        first.reject(unavailable(cause));
      }
    }
  }
}

function isIn(names: ReadonlySet<string>, { rows }: Item): boolean {
  return names.size > 0 && rows.some((row) => names.has(nameOf(row)));
}

function nameOf(row: MemberRow): string {
  return `${row.function}/${row.partIndex}/${row.source}/${row.id}`;
}

/** Returns one row per (function, part index, source, id), the newest: a statement may not touch a row twice. */
function newestRows(batch: readonly Item[]): MemberRow[] {
  const newest = new Map<string, MemberRow>();
  for (const { rows } of batch) {
    for (const row of rows) {
      const name = nameOf(row);
      const other = newest.get(name);
      newest.set(name, other === undefined ? row : newerOf(row, other));
    }
  }
  return [...newest.values()];
}

/** Returns the newer row. It keeps what the initial snapshot found, even if a later change is in the same batch. */
function newerOf(a: MemberRow, b: MemberRow): MemberRow {
  const [newer, older] = isNewer(a, b) ? [a, b] : [b, a];
  return newer.history === null && older.history !== null
    ? { ...newer, history: older.history }
    : newer;
}

function sizeOf(rows: readonly MemberRow[]): number {
  let bytes = 0;
  for (const row of rows) {
    bytes += 200 + row.id.length + (row.key?.length ?? 0) + (row.columns?.length ?? 0);
  }
  return bytes;
}
