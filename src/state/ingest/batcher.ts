import type { Origin } from '../change.ts';
import { isBadValue, sqlState, unavailable } from '../database/database.ts';
import { GONE, type MemberRow } from './member.ts';
import { isNewer } from '../version.ts';
import { Unavailable, type Outcome } from '../outcome.ts';
import type { IngestedBatch, Store } from './store.ts';
import type { Lease } from '../lease.ts';
import { failpoint } from '../../lib/failpoint.ts';
import { batchSpan, endFailed } from '../../telemetry/spans.ts';

/** Larger batches only add latency: 64 events 0.44x, 256 1.00x, 1024 0.75x. */
const MAX_EVENTS = 256;
const MAX_BYTES = 4 * 1024 * 1024;
const WORTH_A_WRITER = 64;
const SLOW_MS = 20;

/** Handler slots of this process, as far as filing needs them. */
export interface Slots {
  /** Takes all free slots, for runs that may be born leased by the next statement. */
  reserve(): number;
  /** Starts the runs that were leased; gives back the slots that were not used. */
  start(leases: readonly Lease[], reserved: number): void;
}

export interface BatcherOptions {
  /** Statements at a time. */
  readonly writers: number;
  /** Bytes of events that may wait or be in flight; beyond that events are refused. */
  readonly maxBytes: number;
  readonly onIngested: (ingested: IngestedBatch, events: number) => void;
  /** A newer definition is registered: nothing can be ingested here any more. */
  readonly onSuperseded: (error: Unavailable) => void;
}

/** Nothing is ingested yet: a stored row must be known for it. */
export interface Unresolved {
  readonly kind: 'unresolved';
}

interface Item {
  readonly rows: readonly MemberRow[];
  readonly origin: Origin;
  /** Of the rows, as the statement sends them. */
  readonly bytes: number;
  /** Kept in memory until the event is answered: the rows and the event itself. */
  readonly held: number;
  readonly resolve: (outcome: Outcome | Unresolved) => void;
  readonly reject: (error: Unavailable) => void;
}

/**
 * Group commit: a free writer takes everything that waits, and what arrives meanwhile is the next
 * batch. Nothing ever waits for more to come (a linger of 1 ms costs a third to two thirds).
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

  /** Events that are not answered yet. */
  get pending(): number {
    return this.#queue.length + this.#writing;
  }

  /** Resolves when the rows are committed; throws {@link Unavailable}. */
  ingest(rows: readonly MemberRow[], origin: Origin): Promise<Outcome | Unresolved> {
    const bytes = sizeOf(rows);
    const held = bytes + origin.body.byteLength;
    if (this.#bytes + held > this.#options.maxBytes && this.#bytes > 0) {
      throw new Unavailable('overload', `${this.#bytes} bytes of events wait for the database`);
    }
    this.#bytes += held;
    return new Promise((resolve, reject) => {
      this.#queue.push({ rows, origin, bytes, held, resolve, reject });
      // One turn of the event loop lets requests that arrived together share a statement.
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
   * A further writer begins where one is slow or much waits: two writers on few events only halve the
   * batches (at 99 in flight 39 µs of Postgres per event with one, 49 with two).
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
      // Two versions of one row with holes are merged by Postgres alone, one after the other.
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

  /** Files a batch; where Postgres refuses a value, files its halves, down to the culprit, and parks that. */
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
        await this.#withdraw(first.rows);
        first.resolve({ kind: 'parked', reason: 'bad-value', detail: error.message });
      } catch (cause) {
        first.reject(unavailable(cause));
      }
    }
  }

  /** A row whose new values can't be stored has left its old set all the same. */
  async #withdraw(rows: readonly MemberRow[]): Promise<void> {
    try {
      await this.#store.ingest(
        rows.map((row) => ({ ...row, ...GONE, history: null })),
        0,
      );
    } catch (error) {
      if (!isBadValue(error)) throw error; // its id, too, is a value that nothing can be stored under
    }
  }
}

function isIn(names: ReadonlySet<string>, { rows }: Item): boolean {
  return names.size > 0 && rows.some((row) => names.has(nameOf(row)));
}

function nameOf(row: MemberRow): string {
  return `${row.function}/${row.partIndex}/${row.source}/${row.id}`;
}

/** One row per (function, lane, source, id), the newest: a statement may not touch a row twice. */
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

/** What the initial snapshot found stays known, also where a later change comes in the same batch. */
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
