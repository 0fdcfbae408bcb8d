import type { Database } from '../database/database.ts';
import { textAfter } from '../../lib/text-after.ts';
import { keyHash } from '../key-hash.ts';
import { sql } from '../sql.ts';

const HELD_ROWS = sql('held-rows');

/** A row of a table as it should be held. */
export interface WantedRow {
  readonly partIndex: number;
  readonly id: string;
  /** Key of its set in the table; null if it is in no set, or not in the table. */
  readonly key: string | null;
}

/** What is held of such a row. */
export interface HeldRow {
  /** Whether it counts in a set. */
  readonly inSet: boolean;
  /** Whether that is the set of its key in the table. */
  readonly hasKey: boolean;
  /** Key of the set that it counts in. */
  readonly heldKey: string | null;
  /** Whether it is not held, and the set of its key is done: that set was purged, or nothing depends on the row. */
  readonly isPurged: boolean;
  /** Whether sets were forgotten, and that of its key may be one: it has never been complete since. */
  readonly mayBeForgotten: boolean;
}

/** Returns what is held of each of these rows of a source. */
export async function heldRows(
  database: Database,
  fn: number,
  source: number,
  wanted: readonly WantedRow[],
): Promise<HeldRow[]> {
  const { rows } = await database.control.query<HeldRow>({
    ...HELD_ROWS,
    values: [
      fn,
      source,
      wanted.map(({ partIndex }) => partIndex),
      wanted.map(({ id }) => id),
      wanted.map(({ key }) => (key === null ? null : keyHash(key))),
    ],
  });
  return rows;
}

/** Rows of a part by id. */
export interface HeldPage {
  /** Ids of those that count in sets. */
  readonly ids: readonly string[];
  /** Where the next page begins; null at the end. */
  readonly next: string | null;
  /** When the newest row that is history entered its set; null if none is. */
  readonly historyAt: Date | null;
}

/** Returns a page of the rows that are known by a part, whose ids are `from` or above. */
export async function heldPage(
  database: Database,
  fn: number,
  source: number,
  partIndex: number,
  from: string,
  limit: number,
): Promise<HeldPage> {
  const { rows } = await database.control.query<{
    id: string;
    inSet: boolean;
    historyAt: Date | null;
  }>(
    `select id, in_set as "inSet", case when history is not null then since end as "historyAt" from muster.member
     where function = $1 and part_index = $2 and source = $3 and id >= $4
     order by id limit $5`,
    [fn, partIndex, source, from, limit],
  );
  const last = rows.at(-1);
  const times = rows.flatMap(({ historyAt }) => (historyAt === null ? [] : [historyAt.getTime()]));
  return {
    ids: rows.filter(({ inSet }) => inSet).map(({ id }) => id),
    next: last === undefined ? null : textAfter(last.id),
    historyAt: times.length === 0 ? null : new Date(times.reduce((a, b) => Math.max(a, b))),
  };
}

/** Whether a part is new or changed, and its table was not read since. */
export async function isUnsynced(
  database: Database,
  fn: number,
  partIndex: number,
): Promise<boolean> {
  const { rowCount } = await database.control.query(
    'select from muster.part where function = $1 and part_index = $2 and unsynced_since is not null',
    [fn, partIndex],
  );
  return rowCount !== 0;
}

/** Returns the ids of the sources from which a part has rows. */
export async function sourcesOfPart(
  database: Database,
  fn: number,
  partIndex: number,
): Promise<number[]> {
  const { rows } = await database.control.query<{ id: number }>(
    `select s.id from (select distinct id from muster.source) s
     where exists (select from muster.member m where m.function = $1 and m.part_index = $2 and m.source = s.id)
     order by s.id`,
    [fn, partIndex],
  );
  return rows.map(({ id }) => id);
}
