import { beginEpoch, describeUndecided, epochOf, type EpochsOfSource } from './epochs.ts';
import {
  gtidsOf,
  noteTransaction,
  storedGtids,
  wasSeen,
  type Gtids,
  type StoredGtids,
} from './gtids.ts';
import type { RowChange, TruncateChange } from '../change.ts';
import type { Database } from '../database/database.ts';
import { MAX_EPOCH, type SourceEpoch } from '../version.ts';
import {
  CLOCK_AHEAD_MS,
  describeRestart,
  describeWait,
  handlingTimeOf,
  hasMoved,
  hasStartedOver,
  type NewestPosition,
  waitsForEpoch,
  whyAhead,
} from './position-jump.ts';

/** Of each server, the highest number that is stored or was seen here. */
const NEWEST_GTIDS = `(
  select coalesce(jsonb_object_agg(server, number), '{}') from (
    select server, max(number::numeric)::text as number
    from (select * from jsonb_each_text(s.gtids) union all select * from jsonb_each_text(m.gtids)) each (server, number)
    group by server) newest)`;

/** The newest position seen of one source. */
interface LogPosition extends EpochsOfSource, NewestPosition {
  id: number;
  lsn: bigint;
  at: number;
  handledAt: number;
  /** When the connector handled the first streamed change; null = none yet. */
  streamedAt: number | null;
  /** Lowest position of a streamed change; null = none yet. */
  streamedLsn: bigint | null;
  gtids: Map<string, bigint>;
  restartedAt: number | null;
  dirty: boolean;
}

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
    const at = Math.min(change.at, Date.now() + CLOCK_AHEAD_MS);
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
      // Another server may have what was seen before at a higher position: that is none of this log.
      if (change.gtid === undefined || !wasSeen(newest.gtids, change.gtid)) {
        newest.lsn = change.lsn;
        newest.at = Math.max(newest.at, at);
        newest.handledAt = Math.max(newest.handledAt, handlingTimeOf(change) ?? 0);
        newest.dirty = true;
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
      if (dirty.length > 0) await this.#write(dirty);
      await this.#read();
    } catch (error) {
      for (const [, position] of dirty) position.dirty = true;
      this.#isUnsaved ||= wasUnsaved;
      throw error;
    } finally {
      this.#isSaving = false;
    }
  }

  async #write(dirty: readonly [string, LogPosition][]): Promise<void> {
    await this.#database.control.query(
      `with mine as materialized (
         select s.name as source, m.* from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::jsonb[])
                   as m (name, epoch, lsn, at, handled_at, streamed_at, streamed_lsn, restarted_at, gtids)
         join muster.source s on s.name = m.name and s.epoch = m.epoch
         order by s.name for update of s
       )
       update muster.source s
       set lsn = greatest(s.lsn, m.lsn), at = greatest(s.at, m.at), handled_at = greatest(s.handled_at, m.handled_at),
           streamed_at = least(s.streamed_at, m.streamed_at), streamed_lsn = least(s.streamed_lsn, m.streamed_lsn),
           restarted_at = least(s.restarted_at, m.restarted_at), gtids = ${NEWEST_GTIDS}, updated_at = now()
       from mine m where s.name = m.source`,
      [
        dirty.map(([name]) => name),
        dirty.map(([, position]) => position.firstEpoch + position.boundaries.length),
        dirty.map(([, position]) => position.lsn),
        dirty.map(([, position]) => position.at),
        dirty.map(([, position]) => position.handledAt),
        dirty.map(([, position]) => position.streamedAt),
        dirty.map(([, position]) => position.streamedLsn),
        dirty.map(([, position]) => position.restartedAt),
        dirty.map(([, position]) => JSON.stringify(storedGtids(position.gtids))),
      ],
    );
  }

  async #read(): Promise<void> {
    const { rows } = await this.#database.control.query<StoredSource>(
      `select name, id, first_epoch as "firstEpoch", epochs, lsn, at, handled_at as "handledAt", streamed_at as "streamedAt",
              streamed_lsn as "streamedLsn", restarted_at as "restartedAt", gtids from muster.source`,
    );
    const known = new Set(rows.map(({ name }) => name));
    for (const name of this.#positions.keys()) if (!known.has(name)) this.#positions.delete(name); // forgotten
    for (const row of rows) {
      const stored = fromRow(row);
      const mine = this.#positions.get(row.name);
      const isOther =
        mine === undefined ||
        mine.id !== stored.id ||
        mine.firstEpoch !== stored.firstEpoch ||
        mine.boundaries.length !== stored.boundaries.length;
      if (isOther) {
        if (mine !== undefined && hasFailedOver(mine, stored)) keepGtids(mine, stored);
        this.#positions.set(row.name, stored);
        continue;
      }
      if (mine.lsn < stored.lsn) mine.lsn = stored.lsn;
      mine.at = Math.max(mine.at, stored.at);
      mine.handledAt = Math.max(mine.handledAt, stored.handledAt);
      mine.streamedAt = least(mine.streamedAt, stored.streamedAt);
      mine.streamedLsn = least(mine.streamedLsn, stored.streamedLsn);
      mine.restartedAt = least(mine.restartedAt, stored.restartedAt);
      raiseGtids(mine.gtids, stored.gtids);
    }
  }
}

/** Whether a source has failed over since `mine` was read, and its transactions are numbered as before. */
function hasFailedOver(mine: LogPosition, stored: LogPosition): boolean {
  const since = stored.boundaries.slice(mine.boundaries.length);
  return (
    mine.id === stored.id &&
    mine.firstEpoch === stored.firstEpoch &&
    since.length > 0 &&
    since.every(({ failover }) => failover !== undefined)
  );
}

/** Keeps the transactions that this process has seen and not yet written. */
function keepGtids(mine: LogPosition, stored: LogPosition): void {
  stored.dirty = raiseGtids(stored.gtids, mine.gtids);
}

/** Returns whether a number is higher than before. */
function raiseGtids(gtids: Map<string, bigint>, others: Gtids): boolean {
  const higher = [...others].filter(([key, number]) => number > (gtids.get(key) ?? -1n));
  for (const [key, number] of higher) gtids.set(key, number);
  return higher.length > 0;
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

interface StoredSource {
  name: string;
  id: number;
  firstEpoch: number;
  epochs: {
    beganAt: number;
    endedAt: number;
    endedLsn: string;
    failover?: {
      beganAt: number;
      endedAt: number;
      beganLsn: string;
      gtids: StoredGtids;
      server: string;
    };
  }[];
  lsn: string;
  at: string;
  handledAt: string;
  streamedAt: string | null;
  streamedLsn: string | null;
  restartedAt: string | null;
  gtids: StoredGtids;
}

function fromRow(row: StoredSource): LogPosition {
  return {
    id: row.id,
    firstEpoch: row.firstEpoch,
    boundaries: row.epochs.map(({ endedLsn, failover, ...times }) => ({
      ...times,
      endedLsn: BigInt(endedLsn),
      ...(failover && {
        failover: {
          ...failover,
          beganLsn: BigInt(failover.beganLsn),
          gtids: gtidsOf(failover.gtids),
        },
      }),
    })),
    lsn: BigInt(row.lsn),
    at: Number(row.at),
    handledAt: Number(row.handledAt),
    streamedAt: row.streamedAt === null ? null : Number(row.streamedAt),
    streamedLsn: row.streamedLsn === null ? null : BigInt(row.streamedLsn),
    restartedAt: row.restartedAt === null ? null : Number(row.restartedAt),
    gtids: gtidsOf(row.gtids),
    dirty: false,
  };
}

function least<T extends number | bigint>(a: T | null, b: T | null): T | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
