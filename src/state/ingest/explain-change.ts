import type { Change, Row, RowChange } from '../change.ts';
import { queriesOf, type Database } from '../database/database.ts';
import { explain } from '../queries/explain.ts';
import type { Explanation } from '../queries/explanation.ts';
import { MissingColumn, toMemberRows, type MemberRow } from './member.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import { keyHash } from '../key-hash.ts';
import { sql } from '../sql.ts';

const KEYS_OF_ROW = sql('keys-of-row');
/** For mapping a change whose version does not matter. */
const NOWHERE = { source: 0, epoch: 0 };
/** Maximum number of tables listed in an explanation. */
const MAX_TABLES = 20;

/** Human-readable explanation of where an ingested change went. */
export interface ExplainedChange {
  /** The sets that its row belongs to now. */
  readonly sets: readonly Explanation[];
  /** Why it belongs to no set, or not to a set by every part. */
  readonly why?: string;
}

/**
 * Explains an ingested change. It never throws because of the change's content. `source` is the id of its
 * source, `functions` are those with a part on its table, and `tables` are all tables that parts are on.
 */
export async function explainChange(
  database: Database,
  change: Change,
  source: number | null,
  functions: readonly RegisteredFunction[],
  tables: readonly string[],
): Promise<ExplainedChange> {
  if (functions.length === 0) return { sets: [], why: unwanted(change.table, tables) };
  if (change.kind === 'truncate') {
    return { sets: [], why: 'a truncate retracts every row of its table' };
  }
  const sets: Explanation[] = [];
  for (const served of functions) {
    for (const key of await keysOf(database, change, source, served)) {
      const explanation = await explain(
        queriesOf(database.control),
        served.specification.name,
        key,
      );
      if (explanation !== null) sets.push(explanation);
    }
  }
  const why =
    change.op === 'd' ? ['the row is deleted'] : functions.flatMap((each) => keyless(change, each));
  return why.length === 0 ? { sets } : { sets, why: why.join('; ') };
}

/** Returns the keys of the row's sets, from what is stored; if nothing is stored any more, from the change. */
async function keysOf(
  database: Database,
  change: RowChange,
  source: number | null,
  served: RegisteredFunction,
): Promise<readonly string[]> {
  // mapped as a delete, because that yields the row's id in every part
  const ids = rowsOf({ ...change, op: 'd' }, served);
  const { rows } = await database.control.query<{ keyHash: string | null; key: string | null }>({
    ...KEYS_OF_ROW,
    values: [served.id, ids.map(({ partIndex }) => partIndex), ids.map(({ id }) => id), source],
  });
  if (change.op === 'd') return notNull(rows.map(({ key }) => key));
  // mapped as an update, because that yields a row for every part on the table
  const mapped = notNull(rowsOf({ ...change, op: 'u' }, served).map(({ key }) => key));
  if (rows.length === 0) return mapped;
  // A row that its part's filter rejects may name a set that does not exist, whose key is not stored.
  const byHash = new Map(mapped.map((key) => [keyHash(key), key]));
  return notNull(
    rows.map(
      ({ keyHash: hash, key }) => key ?? byHash.get(hash?.replaceAll('-', '') ?? '') ?? null,
    ),
  );
}

/** Maps a change to the parts on its table; returns no rows if a deciding column is missing. */
function rowsOf(change: RowChange, served: RegisteredFunction): readonly MemberRow[] {
  try {
    return toMemberRows(change, NOWHERE, served).rows;
  } catch (error) {
    if (error instanceof MissingColumn) return [];
    throw error;
  }
}

function notNull(keys: readonly (string | null)[]): string[] {
  return [...new Set(keys)].filter((key) => key !== null);
}

/** Describes the key columns that are null or missing, so that the row is in no set. */
function keyless({ table, row }: RowChange, { specification }: RegisteredFunction): string[] {
  return specification.parts
    .filter((part) => part.table === table)
    .flatMap(({ name, key }) =>
      key
        .filter((column) => isNull(row, column))
        .map((column) => {
          const what = Object.hasOwn(row, column) ? 'null' : 'missing';
          return `column '${column}' of ${table} is ${what}: the row is in no set of ${specification.name} by its part ${name}`;
        }),
    );
}

function isNull(row: Row, column: string): boolean {
  return !Object.hasOwn(row, column) || row[column] === null;
}

function unwanted(table: string, tables: readonly string[]): string {
  const named = tables.slice(0, MAX_TABLES).join(', ');
  const more = tables.length > MAX_TABLES ? ` and ${tables.length - MAX_TABLES} more` : '';
  const parent = tables.find((each) => table.startsWith(`${each}_`));
  const partition =
    parent === undefined
      ? ''
      : `; if it is a partition of ${parent}: alter publication <name> set (publish_via_partition_root = true)`;
  return `no function that is served here names the table ${table}, only ${named}${more}${partition}`;
}
