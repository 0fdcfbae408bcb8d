import { describeUndecided, epochOf, type EpochsOfSource } from './epochs.ts';
import type { RowChange, TruncateChange } from '../change.ts';
import type { Database } from '../database/database.ts';
import type { SourceEpoch } from '../version.ts';

const JUMP_BACK_MS = 5 * 60_000;
/** So far ahead of the mark a position may be at once, and per second since the mark. */
const AHEAD_BYTES = 1n << 30n;
/** A commit time beyond this process' clock and so much more is a wrong clock's: no guard may follow it. */
const CLOCK_AHEAD_MS = 60_000;

interface Mark extends EpochsOfSource {
  id: number;
  lsn: bigint;
  at: number;
  /** When the connector handled the first streamed change, and the lowest position of one; null: none yet. */
  streamedAt: number | null;
  streamedLsn: bigint | null;
  /** Earliest commit of the changes that seem to be of a log that started over. */
  restartedAt: number | null;
  dirty: boolean;
}

/** What a position says about its source's log. */
export type PositionCheck =
  | {
      readonly kind: 'fine';
      readonly place: SourceEpoch;
      /** Had the source begun to stream before this change? */
      readonly streaming: boolean;
    }
  | { readonly kind: 'ahead' | 'restarted'; readonly detail: string };

/**
 * The newest position seen of each source, to notice a log that started over (restored or re-created:
 * its changes would all be refused as stale) and a position that no log can have reached (it would
 * refuse every later change of its row).
 *
 * Kept in memory and written now and then: an upsert of one hot row per batch would queue all pods.
 * A mark that lags is harmless, it only tells minutes and gibibytes apart.
 */
export class LogPositions {
  readonly #database: Database;
  readonly #positions = new Map<string, Mark>();
  #isUnsaved = false;
  /** What was unsaved is on its way. */
  #isSaving = false;
  #exchanging: Promise<void> | null = null;
  #meeting = new Map<string, Promise<void>>();

  constructor(database: Database) {
    this.#database = database;
  }

  knows(source: string): boolean {
    return this.#positions.has(source);
  }

  /** Null where nothing has come from it. */
  idOf(source: string): number | null {
    return this.#positions.get(source)?.id ?? null;
  }

  /** Gives a source that nothing has come from its id. */
  meet(source: string): Promise<void> {
    let meeting = this.#meeting.get(source);
    if (meeting === undefined) {
      meeting = this.#meet(source).finally(() => this.#meeting.delete(source));
      this.#meeting.set(source, meeting);
    }
    return meeting;
  }

  async #meet(source: string): Promise<void> {
    await this.#database.control.query(
      `insert into muster.source (name) select $1
       where not exists (select from muster.source where name = $1) on conflict (name) do nothing`,
      [source],
    );
    while (!this.knows(source)) await this.exchange();
  }

  /**
   * What the position of a change says; its source must be known.
   *
   * Back: below the mark, committed over 5 minutes after it, and no commit at or above the mark came
   * before it. A redelivery or replay goes back without being later; a long transaction goes back and
   * is later, but knows of the commits it outlived. An initial snapshot's position is the log's end, so
   * that it is back where it is below the mark and later. Ahead: by more than 1 GiB, and 1 GiB more for
   * each second between the two commits, which no server writes; a quiet table in a busy database moves
   * on by its neighbours' log.
   */
  judge(change: RowChange | TruncateChange): PositionCheck {
    const mark = this.#positions.get(change.source)!;
    const epoch = epochOf(mark, change);
    if (epoch === null) return { kind: 'restarted', detail: describeUndecided(mark, change) };
    const isFirst = epoch === 0;
    const fine = {
      kind: 'fine',
      place: { source: mark.id, epoch },
      streaming: !isFirst || hadBegunToStream(mark, change),
    } as const;
    if (epoch < mark.firstEpoch + mark.boundaries.length || change.lsn === null) return fine;
    const at = Math.min(change.at, Date.now() + CLOCK_AHEAD_MS);
    const isRead = change.kind === 'row' && change.op === 'r';
    if (isRead && change.snapshot !== 'initial') return fine;
    if (change.lsn < mark.lsn) {
      const outlived = change.lastCommit !== null && change.lastCommit >= mark.lsn;
      if (!outlived && at > mark.at + JUMP_BACK_MS) return this.#restarted(mark, change, at);
    }
    if (isRead) return fine;
    if (change.lsn >= mark.lsn) {
      const seconds = BigInt(Math.max(0, Math.floor((at - mark.at) / 1000)));
      if (mark.lsn > 0n && change.lsn - mark.lsn > AHEAD_BYTES * (1n + seconds)) {
        return {
          kind: 'ahead',
          detail: `LSN ${change.lsn} of source '${change.source}' is ${change.lsn - mark.lsn} bytes ahead of ${mark.lsn}, the newest seen, and only ${seconds} s later`,
        };
      }
      mark.lsn = change.lsn;
      mark.at = Math.max(mark.at, at);
      mark.dirty = true;
    }
    this.#noteStreaming(mark, change, isFirst);
    return fine;
  }

  #restarted(mark: Mark, change: RowChange | TruncateChange, at: number): PositionCheck {
    if (mark.restartedAt === null || change.at < mark.restartedAt) {
      mark.restartedAt = change.at;
      mark.dirty = true;
      this.#isUnsaved = true;
    }
    const later = Math.round((at - mark.at) / 1000);
    return {
      kind: 'restarted',
      detail: `LSN ${change.lsn} of source '${change.source}' is below ${mark.lsn}, the newest seen, yet was committed ${later} s later: was the source restored or re-created? If so: muster epoch bump ${change.source}`,
    };
  }

  #noteStreaming(mark: Mark, change: RowChange | TruncateChange, isFirst: boolean): void {
    const { handledAt, lsn } = change;
    if (mark.streamedAt === null) this.#isUnsaved = true;
    if (mark.streamedAt === null || handledAt < mark.streamedAt) {
      mark.streamedAt = handledAt;
      mark.dirty = true;
    }
    if (isFirst && (mark.streamedLsn === null || lsn! < mark.streamedLsn)) {
      mark.streamedLsn = lsn;
      mark.dirty = true;
    }
  }

  /** Something must be known to other processes before the change that says it is ingested or parked. */
  get isUnsaved(): boolean {
    return this.#isUnsaved || this.#isSaving;
  }

  /** Tells them, once for all changes that wait for it. */
  async save(): Promise<void> {
    while (this.isUnsaved) await this.exchange();
  }

  /** Writes what is new here, and reads what is new elsewhere (another pod's marks, an epoch bump). */
  exchange(): Promise<void> {
    this.#exchanging ??= this.#exchange().finally(() => (this.#exchanging = null));
    return this.#exchanging;
  }

  async #exchange(): Promise<void> {
    const dirty = [...this.#positions].filter(([, mark]) => mark.dirty);
    for (const [, mark] of dirty) mark.dirty = false;
    const wasUnsaved = this.#isUnsaved;
    this.#isSaving = wasUnsaved;
    this.#isUnsaved = false;
    try {
      if (dirty.length > 0) await this.#write(dirty);
      await this.#read();
    } catch (error) {
      for (const [, mark] of dirty) mark.dirty = true;
      this.#isUnsaved ||= wasUnsaved;
      throw error;
    } finally {
      this.#isSaving = false;
    }
  }

  async #write(dirty: readonly [string, Mark][]): Promise<void> {
    await this.#database.control.query(
      `with mine as materialized (
         select s.name as source, m.* from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
                   as m (name, epoch, lsn, at, streamed_at, streamed_lsn, restarted_at)
         join muster.source s on s.name = m.name and s.epoch = m.epoch
         order by s.name for update of s
       )
       update muster.source s
       set lsn = greatest(s.lsn, m.lsn), at = case when s.lsn < m.lsn then m.at else s.at end,
           streamed_at = least(s.streamed_at, m.streamed_at), streamed_lsn = least(s.streamed_lsn, m.streamed_lsn),
           restarted_at = least(s.restarted_at, m.restarted_at), updated_at = now()
       from mine m where s.name = m.source`,
      [
        dirty.map(([name]) => name),
        dirty.map(([, mark]) => mark.firstEpoch + mark.boundaries.length),
        dirty.map(([, mark]) => mark.lsn),
        dirty.map(([, mark]) => mark.at),
        dirty.map(([, mark]) => mark.streamedAt),
        dirty.map(([, mark]) => mark.streamedLsn),
        dirty.map(([, mark]) => mark.restartedAt),
      ],
    );
  }

  async #read(): Promise<void> {
    const { rows } = await this.#database.control.query<StoredSource>(
      `select name, id, first_epoch as "firstEpoch", epochs, lsn, at, streamed_at as "streamedAt",
              streamed_lsn as "streamedLsn", restarted_at as "restartedAt" from muster.source`,
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
        this.#positions.set(row.name, stored);
        continue;
      }
      if (mine.lsn < stored.lsn) Object.assign(mine, { lsn: stored.lsn, at: stored.at });
      mine.streamedAt = least(mine.streamedAt, stored.streamedAt);
      mine.streamedLsn = least(mine.streamedLsn, stored.streamedLsn);
      mine.restartedAt = least(mine.restartedAt, stored.restartedAt);
    }
  }
}

/**
 * An initial snapshot that was taken after the first streamed change: by its position as well as by its
 * time. One clock that is wrong must not turn history into news, nor may the low position of a transaction
 * that wrote before the snapshot.
 */
function hadBegunToStream(mark: Mark, { at, lsn }: RowChange | TruncateChange): boolean {
  if (mark.streamedAt === null || mark.streamedAt >= at) return false;
  return lsn === null || mark.streamedLsn === null || mark.streamedLsn < lsn;
}

interface StoredSource {
  name: string;
  id: number;
  firstEpoch: number;
  epochs: { beganAt: number; endedAt: number; endedLsn: string }[];
  lsn: string;
  at: string;
  streamedAt: string | null;
  streamedLsn: string | null;
  restartedAt: string | null;
}

function fromRow(row: StoredSource): Mark {
  return {
    id: row.id,
    firstEpoch: row.firstEpoch,
    boundaries: row.epochs.map(({ endedLsn, ...times }) => ({
      ...times,
      endedLsn: BigInt(endedLsn),
    })),
    lsn: BigInt(row.lsn),
    at: Number(row.at),
    streamedAt: row.streamedAt === null ? null : Number(row.streamedAt),
    streamedLsn: row.streamedLsn === null ? null : BigInt(row.streamedLsn),
    restartedAt: row.restartedAt === null ? null : Number(row.restartedAt),
    dirty: false,
  };
}

function least<T extends number | bigint>(a: T | null, b: T | null): T | null {
  if (a === null || b === null) return a ?? b;
  return a < b ? a : b;
}
