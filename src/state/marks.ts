import type { RowChange, TruncateChange } from './change.ts';
import type { Database } from './database.ts';

const JUMP_BACK_MS = 5 * 60_000;
/** So far ahead of the mark a position may be at once, and per second since the mark. */
const AHEAD_BYTES = 1n << 30n;

interface Mark {
  epoch: number;
  lsn: bigint;
  at: number;
  dirty: boolean;
}

/** What a position says about its source's log. */
export type Judgement =
  | { readonly kind: 'fine'; readonly epoch: number }
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

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Back: below the mark and committed over 5 minutes after it. A redelivery or replay goes back
   * without being later. Ahead: by more than 1 GiB, and 1 GiB more for each second between the two
   * commits, which no server writes; a quiet table in a busy database moves on by its neighbours' log.
   */
  judge(change: RowChange | TruncateChange): Judgement {
    const mark = this.#marks.get(change.source);
    if (change.lsn === null || (change.kind === 'row' && change.op === 'r')) {
      return { kind: 'fine', epoch: mark?.epoch ?? 0 };
    }
    if (mark === undefined) {
      this.#marks.set(change.source, { epoch: 0, lsn: change.lsn, at: change.at, dirty: true });
      return { kind: 'fine', epoch: 0 };
    }
    if (change.lsn < mark.lsn) {
      if (mark.lsn > 0n && change.at > mark.at + JUMP_BACK_MS) {
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
    return { kind: 'fine', epoch: mark.epoch };
  }

  /** Writes what is new here, and reads what is new elsewhere (another pod's marks, an epoch bump). */
  async exchange(): Promise<void> {
    const dirty = [...this.#marks].filter(([, mark]) => mark.dirty);
    for (const [, mark] of dirty) mark.dirty = false;
    if (dirty.length > 0) {
      await this.#database.control.query(
        `insert into muster.source as s (name, epoch, lsn, at)
         select * from unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) as mine (name, epoch, lsn, at) order by name collate "C"
         on conflict (name) do update set lsn = excluded.lsn, at = excluded.at, updated_at = now()
         where s.epoch = excluded.epoch and s.lsn < excluded.lsn`,
        [
          dirty.map(([name]) => name),
          dirty.map(([, mark]) => mark.epoch),
          dirty.map(([, mark]) => mark.lsn),
          dirty.map(([, mark]) => mark.at),
        ],
      );
    }
    const { rows } = await this.#database.control.query<{
      name: string;
      epoch: number;
      lsn: string;
      at: string;
    }>('select name, epoch, lsn, at from muster.source');
    for (const row of rows) {
      const mark = this.#marks.get(row.name);
      if (mark === undefined || mark.epoch < row.epoch || mark.lsn < BigInt(row.lsn)) {
        this.#marks.set(row.name, {
          epoch: row.epoch,
          lsn: BigInt(row.lsn),
          at: Number(row.at),
          dirty: false,
        });
      }
    }
  }
}
