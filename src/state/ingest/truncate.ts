import { textAfter } from '../../lib/text-after.ts';
import { refuseOutdated } from '../registration/current.ts';
import { transaction, type Database } from '../database/database.ts';
import { removedRow, type MemberRow } from './member.ts';
import type { Store } from './store.ts';
import { type Versioned } from '../version.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import { isTablePart } from '../../definitions/streams.ts';

/** A truncate of a table at its source, with its version. */
interface Truncation extends Versioned {
  readonly table: string;
  readonly source: number;
  readonly functions: readonly RegisteredFunction[];
}

const PAGE = 256;

/** Deletes the rows that a table had before a truncate. Throws {@link Unavailable}, and errors from Postgres. */
export async function truncate(
  database: Database,
  store: Store,
  truncation: Truncation,
): Promise<void> {
  await raiseTruncateVersion(database, truncation);
  for await (const rows of deletesBelow(database, truncation)) await store.ingest(rows);
}

/**
 * Sets the truncate version of the table: older changes count as deletes. The lock is a short barrier: it waits
 * for the batches in flight, and later batches take their snapshot after the truncate version is visible.
 * Without it rows survived in 197 of 400 attempts.
 *
 * Throws {@link Unavailable} if a newer definition is registered, so that the truncate is redelivered to a
 * worker that has it: part indexes of an older definition may belong to other tables by now, whose rows would be
 * removed, and the truncate would be lost for those of the newer definition.
 */
async function raiseTruncateVersion(database: Database, truncation: Truncation): Promise<void> {
  const isCurrent = await transaction(database.control, async (client) => {
    // The locks are held until the end: a registration, which locks the same rows, commits before or after this.
    const { rowCount } = await client.query(
      `select from muster.function f
       join unnest($1::int[], $2::uuid[]) as mine (id, registration)
         on f.id = mine.id and f.registration = mine.registration
       order by f.id for key share of f`,
      [
        truncation.functions.map((each) => each.id),
        truncation.functions.map((each) => each.registration),
      ],
    );
    if (rowCount !== truncation.functions.length) return false;
    await client.query('lock table muster.barrier in share mode');
    await client.query(
      `insert into muster.truncation as t (function, part_index, source, version, at, commits)
       select mine.function, mine.part_index, $3, $4, $5, $6
       from unnest($1::int[], $2::smallint[]) as mine (function, part_index) order by 1, 2
       on conflict (function, part_index, source) do update
       set version = excluded.version, at = excluded.at, commits = excluded.commits
       where muster.newer(excluded.version, excluded.at, excluded.commits, t.version, t.at, t.commits)`,
      [...partIndexesOf(truncation), ...valuesOf(truncation)],
    );
    return true;
  });
  if (!isCurrent) await refuseOutdated(database, truncation.functions);
}

/** Returns the members below the truncate version, page by page, as deletes with that version. */
async function* deletesBelow(
  database: Database,
  truncation: Truncation,
): AsyncGenerator<MemberRow[]> {
  const [functions, partIndexes] = partIndexesOf(truncation);
  for (const [i, fn] of functions.entries()) {
    for (let from = ''; ;) {
      const { rows } = await database.control.query<{ id: string }>(
        `select id from muster.member
         where function = $1 and part_index = $2 and source = $3 and id >= $7
           and (key_hash is not null or columns is not null)
           and muster.newer($4, $5, $6, version, at, commits)
         order by id limit ${PAGE}`,
        [fn, partIndexes[i], ...valuesOf(truncation), from],
      );
      if (rows.length === 0) break;
      const place = { function: fn, partIndex: partIndexes[i]!, source: truncation.source };
      yield rows.map(({ id }) => removedRow({ ...place, id }, truncation));
      from = textAfter(rows.at(-1)!.id);
    }
  }
}

function valuesOf({ source, version, at, commits }: Truncation) {
  return [source, version, at, commits] as const;
}

function partIndexesOf({ table, functions }: Truncation): [number[], number[]] {
  const pairs = functions.flatMap((served) =>
    served.specification.parts
      .filter((part) => isTablePart(part) && part.table === table)
      .map((part) => [served.id, served.partIndexOf.get(part.name)!] as const),
  );
  return [pairs.map(([fn]) => fn), pairs.map(([, partIndex]) => partIndex)];
}
