import type pg from 'pg';
import { transaction, type Database } from '../database/database.ts';
import {
  MAX_PARTS,
  type PartSpecification,
  type Specification,
} from '../../definitions/specification.ts';
import { sql } from '../sql.ts';

const CLEAR_PARTS = sql('clear-parts');
const PAGE = 500;

/** A registered part that does not know all rows of its table. */
export interface UnsyncedPart {
  readonly function: string;
  readonly part: string;
  readonly table: string;
  /** What changed in the table before is not known, or not with all kept columns. */
  readonly since: Date;
}

/** Identifies the rows that a part counts: `count` and kept columns may change without a new index. */
export function partSpecificationOf(part: PartSpecification): string {
  const { table, key, where, id, base64 } = part;
  return JSON.stringify({ table, key, where, id, base64 });
}

/**
 * Keeps the indexes of parts that stay what they were, and gives every other part an index without rows.
 *
 * A part that was given up and comes back (a rollback) gets a new index too: its old rows say nothing of
 * what changed while nobody listened. Counted again, they completed sets whose rows had been deleted at
 * the source. Indexes that are not used any more are cleared by {@link clearParts}.
 *
 * A part that is new to a function, or keeps columns that it did not keep, is marked as unread: its rows
 * are known only from now on, until the source sends them again. Called under the lock of the function's
 * row and the barrier.
 */
export async function assignPartIndexes(
  client: pg.PoolClient,
  stored: { readonly id: number; readonly generation: number },
  kept: Readonly<Record<string, number>>,
  specification: Specification,
): Promise<Map<string, number>> {
  const { id } = stored;
  const assigned = new Map(Object.entries(kept));
  await client.query(
    'update muster.part set in_use = false where function = $1 and in_use and part_index <> all ($2::smallint[])',
    [id, [...assigned.values()]],
  );
  const inUse = new Set(assigned.values());
  const { rows: occupied } = await client.query<{ partIndex: number }>(
    `select l.part_index as "partIndex" from generate_series(1, ${MAX_PARTS}) as l (part_index)
     where exists (select from muster.member m where m.function = $1 and m.part_index = l.part_index::smallint)`,
    [id],
  );
  for (const row of occupied) inUse.add(row.partIndex);
  for (const part of specification.parts) {
    if (assigned.has(part.name)) continue;
    const partIndex = Array.from({ length: MAX_PARTS }, (_, i) => i + 1).find(
      (each) => !inUse.has(each),
    );
    if (partIndex === undefined) {
      throw new Error(
        `function ${specification.name}: no index is free for part ${part.name}; rows of earlier definitions still hold all ${MAX_PARTS}. Those of parts that are gone are removed within minutes by a process that serves the function`,
      );
    }
    await givePartIndex(client, stored, partIndex, part);
    assigned.set(part.name, partIndex);
    inUse.add(partIndex);
  }
  await markGrown(client, stored, kept, specification);
  return assigned;
}

/** The part takes over the newest truncates of its table: older changes come too late for it as well. */
async function givePartIndex(
  client: pg.PoolClient,
  { id, generation }: { readonly id: number; readonly generation: number },
  partIndex: number,
  part: PartSpecification,
): Promise<void> {
  await client.query('delete from muster.truncation where function = $1 and part_index = $2', [
    id,
    partIndex,
  ]);
  await client.query(
    `insert into muster.truncation (function, part_index, source, version, at, commits)
     select distinct on (t.source) $1::int, $2::smallint, t.source, t.version, t.at, t.commits
     from muster.truncation t join muster.part p on p.function = t.function and p.part_index = t.part_index
     where t.function = $1 and p.specification ->> 'table' = $3
     order by t.source, abs(t.version) desc`,
    [id, partIndex, part.table],
  );
  await client.query('delete from muster.part where function = $1 and part_index = $2', [
    id,
    partIndex,
  ]);
  await client.query(
    `insert into muster.part (function, part_index, name, specification, unsynced_since)
     values ($1, $2, $3, $4, case when $5 then now() end)`,
    [id, partIndex, part.name, partSpecificationOf(part), generation > 0],
  );
}

/** Marks parts that keep their index and further columns: the rows they hold do not have those. */
async function markGrown(
  client: pg.PoolClient,
  { id, generation }: { readonly id: number; readonly generation: number },
  kept: Readonly<Record<string, number>>,
  { parts }: Specification,
): Promise<void> {
  const { rows } = await client.query<{ definition: Specification }>(
    'select definition from muster.definition where function = $1 and generation = $2',
    [id, generation],
  );
  const before = new Map(rows[0]?.definition.parts.map((part) => [part.name, part.columns]));
  const grown = parts.filter(
    ({ name, columns }) =>
      kept[name] !== undefined &&
      columns.some((column) => before.get(name)?.includes(column) === false),
  );
  await client.query(
    `update muster.part set unsynced_since = now()
     where function = $1 and in_use and unsynced_since is null and name = any ($2)`,
    [id, grown.map(({ name }) => name)],
  );
}

export function describeUnread({ function: fn, part, table, since }: UnsyncedPart): string {
  return `${fn}: part ${part} is new or changed and knows only rows of ${table} that changed since ${since.toISOString()}: have the connector read the table again (an incremental snapshot), then 'muster resynced ${fn} ${part}'`;
}

/** Parts that need a read of their table, of these functions or of all. */
export async function unsyncedParts(
  database: Pick<Database, 'control'>,
  functions: readonly string[] | null = null,
): Promise<UnsyncedPart[]> {
  const { rows } = await database.control.query<UnsyncedPart>(UNSYNCED_PARTS, [functions]);
  return rows;
}

/** $1 names of functions, null = all */
export const UNSYNCED_PARTS = `
  select f.name as function, p.name as part, p.specification ->> 'table' as table, p.unsynced_since as since
  from muster.part p join muster.function f on f.id = p.function
  where p.in_use and p.unsynced_since is not null and ($1::text[] is null or f.name = any ($1))
  order by f.name, p.part_index`;

/** Notes that the tables of a function's parts, or of one, were read again; returns the parts' names. */
export async function markResynced(
  database: Database,
  functionId: number,
  part: string | null,
): Promise<string[]> {
  const { rows } = await database.control.query<{ name: string }>(
    `update muster.part set unsynced_since = null
     where function = $1 and in_use and unsynced_since is not null and ($2::text is null or name = $2)
     returning name`,
    [functionId, part],
  );
  return rows.map(({ name }) => name);
}

/** Removes the rows of parts that the function no longer has, page by page; returns how many. */
export async function clearParts(
  database: Database,
  functionId: number,
  stopped: () => boolean,
): Promise<number> {
  let removed = 0;
  for (let picked = PAGE; picked === PAGE && !stopped();) {
    const { rows } = await transaction(database.control, (client) =>
      client.query<{ picked: number; removed: number }>({
        ...CLEAR_PARTS,
        values: [functionId, PAGE],
      }),
    );
    ({ picked } = rows[0]!);
    removed += rows[0]!.removed;
  }
  return removed;
}
