import type { Database } from '../database/database.ts';
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
  /** Whether it is not held because the set of its key was done and purged. */
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

/** Returns the ids of the rows after `after` (null: the first ones) that count in sets by a part, in order. */
export async function heldIds(
  database: Database,
  fn: number,
  source: number,
  partIndex: number,
  after: string | null,
  limit: number,
): Promise<string[]> {
  const { rows } = await database.control.query<{ id: string }>(
    `select id from muster.member
     where function = $1 and part_index = $2 and source = $3 and id ${after === null ? '>=' : '>'} $4 and in_set
     order by id limit $5`,
    [fn, partIndex, source, after ?? '', limit],
  );
  return rows.map(({ id }) => id);
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
