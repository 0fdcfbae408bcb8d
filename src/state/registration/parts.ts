import type pg from 'pg';
import { transaction, type Database } from '../database/database.ts';
import type { PartSpecification } from '../../definitions/part-specification.ts';
import { MAX_PARTS, type Specification } from '../../definitions/specification.ts';
import { isTablePart } from '../../definitions/streams.ts';
import { sql } from '../sql.ts';

const CLEAR_PARTS = sql('clear-parts');
const PAGE = 500;

/** A registered part that must be resynchronized with its table. */
export interface UnsyncedPart {
  readonly function: string;
  readonly part: string;
  /** The table that it reads; null if it reads events or records. */
  readonly table: string | null;
  /** What it reads (definitions/streams.ts). */
  readonly stream: string;
  /** Rows that did not change since then are unknown, or lack some of the stored columns. */
  readonly since: Date;
}

/** Returns the text that identifies the rows of a part: `count` and `columns` may change without a new index. */
export function partSpecificationOf(part: PartSpecification): string {
  const { key, where, id, base64 } = part;
  if (isTablePart(part)) return JSON.stringify({ table: part.table, key, where, id, base64 });
  const { version } = part;
  return 'event' in part
    ? JSON.stringify({ event: part.event, key, where, id, version, deletedBy: part.deletedBy })
    : JSON.stringify({ topic: part.topic, key, where, id, version });
}

/**
 * Keeps the indexes of parts that are unchanged, and assigns an index without rows to every other part.
 *
 * A part that was removed and is added again (a rollback) gets a new index too, because its old rows lack the
 * changes in between: counted again, they completed sets whose rows had been deleted at the source. Indexes that
 * are no longer used are cleared by {@link clearParts}.
 *
 * A part that is new to a function, or stores further columns, is marked as unsynced: until the source sends its
 * rows again, only those that change from now on are known. The caller holds the lock of the function's row and
 * the barrier.
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
        `function ${specification.name}: no index is free for part ${part.name}: rows of earlier definitions still occupy all ${MAX_PARTS}. A process that serves the function removes the rows of former parts within minutes; then try again`,
      );
    }
    await addPart(client, stored, partIndex, part);
    assigned.set(part.name, partIndex);
    inUse.add(partIndex);
  }
  await markExtended(client, stored, kept, specification);
  return assigned;
}

/** Adds a part with the newest truncates of its table: changes older than these are stale for it, too. */
async function addPart(
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
    [id, partIndex, isTablePart(part) ? part.table : null],
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

/** Marks parts that keep their index but store further columns as unsynced: their rows lack those columns. */
async function markExtended(
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
  const extended = parts.filter(
    ({ name, columns }) =>
      kept[name] !== undefined &&
      columns.some((column) => before.get(name)?.includes(column) === false),
  );
  await client.query(
    `update muster.part set unsynced_since = now()
     where function = $1 and in_use and unsynced_since is null and name = any ($2)`,
    [id, extended.map(({ name }) => name)],
  );
}

/** Returns the unsynced parts of these functions, or of all. */
export async function unsyncedParts(
  database: Pick<Database, 'control'>,
  functions: readonly string[] | null = null,
): Promise<UnsyncedPart[]> {
  const { rows } = await database.control.query<UnsyncedPart>(UNSYNCED_PARTS, [functions]);
  return rows;
}

/** $1 names of functions, null = all */
export const UNSYNCED_PARTS = `
  select f.name as function, p.name as part, p.specification ->> 'table' as table,
         coalesce(p.specification ->> 'table', 'event ' || (p.specification ->> 'event'),
                  'topic ' || (p.specification ->> 'topic')) as stream,
         p.unsynced_since as since
  from muster.part p join muster.function f on f.id = p.function
  where p.in_use and p.unsynced_since is not null and ($1::text[] is null or f.name = any ($1))
  order by f.name, p.part_index`;

/** Records that the tables of a function's parts, or of one part, were read again; returns the parts' names. */
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

/** Removes the rows of former parts of the function, page by page; returns their number. */
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

/** Describes what a part lacks, and how to resynchronize it. */
export function describeUnread({ function: fn, part, table, stream, since }: UnsyncedPart): string {
  const time = since.toISOString();
  return table === null
    ? `${fn}: part ${part} is new or changed and knows only what arrived of ${stream} since ${time}: send earlier ones again if they matter, then 'muster resynced ${fn} ${part}'`
    : `${fn}: part ${part} is new or changed and knows only rows of ${table} that changed since ${time}: have the connector read the table again (an incremental snapshot), then 'muster resynced ${fn} ${part}'`;
}
