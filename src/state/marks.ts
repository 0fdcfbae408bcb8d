import type { RowChange, TruncateChange } from './change.ts';
import type { Database } from './database.ts';

const JUMP_BACK_MS = 5 * 60_000;
/** So far ahead of the mark a position may be at once, and per second since the mark. */
const AHEAD_BYTES = 1n << 30n;

interface Mark {
  epoch: number;
  lsn: bigint;
  at: number;
  /** When the connector handled the first streamed change. */
  streamedAt: number;
  dirty: boolean;
}

/** What a position says about its source's log. */
export type Judgement =
  | {
      readonly kind: 'fine';
      readonly epoch: number;
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
export class Marks {
  readonly #database: Database;
  readonly #marks = new Map<string, Mark>();
  #firstIsUnsaved = false;
  #saving: Promise<void> | null = null;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Back: below the mark, committed over 5 minutes after it, and no commit at or above the mark came
   * before it. A redelivery or replay goes back without being later; a long transaction goes back and
   * is later, but knows of the commits it outlived. Ahead: by more than 1 GiB, and 1 GiB more for each second between the two
   * commits, which no server writes; a quiet table in a busy database moves on by its neighbours' log.
   */
  judge(change: RowChange | TruncateChange): Judgement {
    const mark = this.#marks.get(change.source);
    const fine = {
      kind: 'fine',
      epoch: mark?.epoch ?? 0,
      streaming: mark !== undefined && mark.streamedAt < change.at,
    } as const;
    if (change.lsn === null || (change.kind === 'row' && change.op === 'r')) return fine;
    if (mark === undefined) {
      const { lsn, at } = change;
      const streamedAt = change.handledAt;
      this.#marks.set(change.source, { epoch: 0, lsn, at, streamedAt, dirty: true });
      this.#firstIsUnsaved = true;
      return fine;
    }
    if (change.lsn < mark.lsn) {
      const outlived = change.lastCommit !== null && change.lastCommit >= mark.lsn;
      if (mark.lsn > 0n && !outlived && change.at > mark.at + JUMP_BACK_MS) {
        const later = Math.round((change.at - mark.at) / 1000);
        return {
          kind: 'restarted',
          detail: `LSN ${change.lsn} of source '${change.source}' is below ${mark.lsn}, the newest seen, yet was committed ${later} s later: was the source restored or re-created? If so: muster epoch bump ${change.source}`,
        };
      }
    } else {
      const seconds = BigInt(Math.max(0, Math.floor((change.at - mark.at) / 1000)));
      if (mark.lsn > 0n && change.lsn - mark.lsn > AHEAD_BYTES * (1n + seconds)) {
        return {
          kind: 'ahead',
          detail: `LSN ${change.lsn} of source '${change.source}' is ${change.lsn - mark.lsn} bytes ahead of ${mark.lsn}, the newest seen, and only ${seconds} s later`,
        };
      }
      mark.lsn = change.lsn;
      mark.at = Math.max(mark.at, change.at);
      mark.dirty = true;
    }
    if (change.handledAt < mark.streamedAt) {
      mark.streamedAt = change.handledAt;
      mark.dirty = true;
    }
    return fine;
  }

  /** A source has begun to stream, which other processes must know before its first change is filed. */
  get firstIsUnsaved(): boolean {
    return this.#firstIsUnsaved;
  }

  /** Tells them, once for all changes that wait for it. */
  saveFirst(): Promise<void> {
    this.#saving ??= this.exchange().finally(() => (this.#saving = null));
    return this.#saving;
  }

  /** Writes what is new here, and reads what is new elsewhere (another pod's marks, an epoch bump). */
  async exchange(): Promise<void> {
    const dirty = [...this.#marks].filter(([, mark]) => mark.dirty);
    if (dirty.length > 0) {
      await this.#database.control.query(
        `insert into muster.source as s (name, epoch, lsn, at, streamed_at)
         select * from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::bigint[])
                         as mine (name, epoch, lsn, at, streamed_at) order by name collate "C"
         on conflict (name) do update
         set lsn = greatest(s.lsn, excluded.lsn),
             at = case when s.lsn < excluded.lsn then excluded.at else s.at end,
             streamed_at = least(s.streamed_at, excluded.streamed_at), updated_at = now()
         where s.epoch = excluded.epoch
           and (s.lsn < excluded.lsn or s.streamed_at > excluded.streamed_at)`,
        [
          dirty.map(([name]) => name),
          dirty.map(([, mark]) => mark.epoch),
          dirty.map(([, mark]) => mark.lsn),
          dirty.map(([, mark]) => mark.at),
          dirty.map(([, mark]) => mark.streamedAt),
        ],
      );
      for (const [, mark] of dirty) mark.dirty = false;
    }
    this.#firstIsUnsaved = false;
    const { rows } = await this.#database.control.query<{
      name: string;
      epoch: number;
      lsn: string;
      at: string;
      streamedAt: string;
    }>('select name, epoch, lsn, at, streamed_at as "streamedAt" from muster.source');
    for (const row of rows) {
      const mark = this.#marks.get(row.name);
      const streamedAt = Math.min(Number(row.streamedAt), mark?.streamedAt ?? Infinity);
      if (mark === undefined || mark.epoch < row.epoch || mark.lsn < BigInt(row.lsn)) {
        const { epoch, lsn, at } = row;
        const newer = { epoch, lsn: BigInt(lsn), at: Number(at), streamedAt, dirty: false };
        this.#marks.set(row.name, newer);
      } else {
        mark.streamedAt = streamedAt;
      }
    }
  }
}
