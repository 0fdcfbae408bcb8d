import { beginEpoch, describeUndecided, epochOf } from './epochs.ts';
import { noteTransaction, wasSeen } from './gtids.ts';
import type { RowChange, TruncateChange } from '../change.ts';
import type { Database } from '../database/database.ts';
import { MAX_EPOCH, type SourceEpoch } from '../version.ts';
import {
  commitTimeOf,
  describeRestart,
  describeWait,
  handlingTimeOf,
  hasMoved,
  hasStartedOver,
  waitsForEpoch,
  whyAhead,
} from './position-jump.ts';
import { merged, readPositions, writePositions, type LogPosition } from './stored-positions.ts';

/** Result of comparing a change's position with its source's log. */
export type PositionCheck =
  | {
      readonly kind: 'fine';
      readonly place: SourceEpoch;
      /** Whether the source had begun to stream before this change. */
      readonly streaming: boolean;
    }
  | { readonly kind: 'ahead' | 'restarted'; readonly detail: string }
  /** It is in another server's log, and a new epoch must begin before it is checked again. */
  | { readonly kind: 'moved' };

/**
 * LogPositions keeps the newest position seen of each source. It detects a log that started over (the
 * database was restored or recreated: all of its changes would be rejected as stale) and a position that no
 * log can have reached (every later change of its row would be rejected).
 *
 * The positions are kept in memory and written from time to time, because an upsert of one hot row per batch
 * would make all workers queue. A position that lags is harmless for a log of PostgreSQL, whose checks are in
 * minutes and gibibytes. A worker that lags, for a third of a lease, may not notice that a binlog started over.
 */
export class LogPositions {
  readonly #database: Database;
  readonly #onFailover: (source: string, epoch: number) => void;
  readonly #positions = new Map<string, LogPosition>();
  #isUnsaved = false;
  /** Whether unsaved changes are being written. */
  #isSaving = false;
  #exchanging: Promise<void> | null = null;
  #registering = new Map<string, Promise<void>>();

  /** `onFailover` is called when this process has begun a new epoch. */
  constructor(database: Database, onFailover: (source: string, epoch: number) => void = () => {}) {
    this.#database = database;
    this.#onFailover = onFailover;
  }

  /** Returns null if nothing has arrived from the source. */
  idOf(source: string): number | null {
    return this.#positions.get(source)?.id ?? null;
  }

  /**
   * Returns the newest position of a source in its epoch, as all workers know it; 0 if there is none, and null if the
   * source is unknown.
   */
  async newestOf(source: string): Promise<bigint | null> {
    await this.exchange();
    return this.#positions.get(source)?.lsn ?? null;
  }

  /** Returns the id of a source, which it gets when the first change or event arrives from it. */
  async register(source: string): Promise<number> {
    for (let id = this.idOf(source); ; id = this.idOf(source)) {
      if (id !== null) return id;
      let registering = this.#registering.get(source);
      if (registering === undefined) {
        registering = this.#register(source).finally(() => this.#registering.delete(source));
        this.#registering.set(source, registering);
      }
      await registering;
    }
  }

  async #register(source: string): Promise<void> {
    await this.#database.control.query(
      `insert into muster.source (name) select $1
       where not exists (select from muster.source where name = $1) on conflict (name) do nothing`,
      [source],
    );
    while (!this.#positions.has(source)) await this.exchange();
  }

  /**
   * Compares the position of a change with the newest one of its source, which must be registered.
   *
   * Restarted: the change is below the newest position, and its log has started over; see position-jump.ts. The
   * position of an initial snapshot is the log's end, so the log has restarted if that is below the newest
   * position and later. Of a binlog, everything that was committed since waits for the new epoch with it.
   *
   * Ahead: the change is more than 1 GiB (of a binlog, 100 files) ahead, plus as much for each second between
   * the two commits, which is more than any server writes. A quiet table in a busy database jumps ahead by the
   * log of the other tables.
   *
   * Moved: GTIDs prove that the connector reads another server.
   */
  check(change: RowChange | TruncateChange): PositionCheck {
    const newest = this.#positions.get(change.source)!;
    const epoch = epochOf(newest, change);
    if (epoch === null) return { kind: 'restarted', detail: describeUndecided(newest, change) };
    const isFirst = epoch === 0;
    const fine = {
      kind: 'fine',
      place: { source: newest.id, epoch },
      streaming: !isFirst || hadBegunToStream(newest, change),
    } as const;
    if (epoch < newest.firstEpoch + newest.boundaries.length || change.lsn === null) return fine;
    const at = commitTimeOf(change);
    const isRead = change.kind === 'row' && change.op === 'r';
    if (isRead && change.snapshot !== 'initial') return fine;
    if (epoch < MAX_EPOCH && hasMoved(newest, change, at)) return { kind: 'moved' };
    if (change.lsn < newest.lsn && hasStartedOver(newest, change, at)) {
      return this.#restarted(newest, change, at);
    }
    if (waitsForEpoch(newest, change)) {
      return { kind: 'restarted', detail: describeWait(newest, change) };
    }
    if (isRead) return fine;
    if (change.lsn >= newest.lsn) {
      const detail = whyAhead(newest, change, at);
      if (detail !== null) return { kind: 'ahead', detail };
      newest.at = Math.max(newest.at, at);
      newest.dirty = true;
      // Another server may have what was seen before at a higher position: that is none of this log.
      if (change.gtid === undefined || !wasSeen(newest.gtids, change.gtid)) {
        newest.lsn = change.lsn;
        newest.handledAt = Math.max(newest.handledAt, handlingTimeOf(change) ?? 0);
      }
    }
    if (change.gtid !== undefined && noteTransaction(newest.gtids, change.gtid)) {
      newest.dirty = true;
    }
    this.#noteStreaming(newest, change, isFirst);
    return fine;
  }

  #restarted(newest: LogPosition, change: RowChange | TruncateChange, at: number): PositionCheck {
    if (newest.restartedAt === null || change.at < newest.restartedAt) {
      newest.restartedAt = change.at;
      newest.dirty = true;
      this.#isUnsaved = true;
    }
    return { kind: 'restarted', detail: describeRestart(newest, change, at) };
  }

  #noteStreaming(newest: LogPosition, change: RowChange | TruncateChange, isFirst: boolean): void {
    const { lsn } = change;
    const handledAt = change.handledAt ?? change.at;
    if (newest.streamedAt === null) this.#isUnsaved = true;
    if (newest.streamedAt === null || handledAt < newest.streamedAt) {
      newest.streamedAt = handledAt;
      newest.dirty = true;
    }
    if (isFirst && (newest.streamedLsn === null || lsn! < newest.streamedLsn)) {
      newest.streamedLsn = lsn;
      newest.dirty = true;
    }
  }

  /** Notes that all rows of a source were read at this time: what is read later is no longer history. */
  async noteSnapshot(source: string, at: number): Promise<void> {
    const newest = this.#positions.get(source)!;
    if (newest.streamedAt !== null) return;
    newest.streamedAt = at;
    newest.dirty = true;
    this.#isUnsaved = true;
    await this.save();
  }

  /** Begins a new epoch with a change that has moved, unless another process has just done so. */
  async beginEpoch(change: RowChange | TruncateChange): Promise<void> {
    const { firstEpoch, boundaries } = this.#positions.get(change.source)!;
    const epoch = firstEpoch + boundaries.length;
    // What was seen before belongs to the epoch that ends; an exchange under way may have begun without it.
    await this.#exchanging;
    await this.exchange();
    if (await beginEpoch(this.#database, change, epoch)) this.#onFailover(change.source, epoch + 1);
    await this.exchange();
  }

  /** Whether something must be saved for other processes before the change that caused it is ingested or parked. */
  get isUnsaved(): boolean {
    return this.#isUnsaved || this.#isSaving;
  }

  /** Saves it, once for all changes that wait for it. */
  async save(): Promise<void> {
    while (this.isUnsaved) await this.exchange();
  }

  /** Writes changed positions, and reads those of other workers and epoch bumps. */
  exchange(): Promise<void> {
    this.#exchanging ??= this.#exchange().finally(() => (this.#exchanging = null));
    return this.#exchanging;
  }

  async #exchange(): Promise<void> {
    const dirty = [...this.#positions].filter(([, position]) => position.dirty);
    for (const [, position] of dirty) position.dirty = false;
    const wasUnsaved = this.#isUnsaved;
    this.#isSaving = wasUnsaved;
    this.#isUnsaved = false;
    try {
      if (dirty.length > 0) await writePositions(this.#database, dirty);
      await this.#read();
    } catch (error) {
      for (const [, position] of dirty) position.dirty = true;
      this.#isUnsaved ||= wasUnsaved;
      throw error;
    } finally {
      this.#isSaving = false;
    }
  }

  async #read(): Promise<void> {
    const stored = await readPositions(this.#database);
    // forgotten
    for (const name of this.#positions.keys()) if (!stored.has(name)) this.#positions.delete(name);
    for (const [name, position] of stored) {
      this.#positions.set(name, merged(this.#positions.get(name), position));
    }
  }
}

/**
 * Whether an initial snapshot was taken after the first streamed change, by both its position and its time:
 * neither a wrong clock nor the low position of a transaction that wrote before the snapshot may make
 * history count as new.
 */
function hadBegunToStream(newest: LogPosition, { at, lsn }: RowChange | TruncateChange): boolean {
  if (newest.streamedAt === null || newest.streamedAt >= at) return false;
  return lsn === null || newest.streamedLsn === null || newest.streamedLsn < lsn;
}
