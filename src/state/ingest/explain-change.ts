import type { Row, RowChange } from '../change.ts';
import { queriesOf, type Database } from '../database/database.ts';
import { explain } from '../queries/explain.ts';
import type { Explanation } from '../queries/explanation.ts';
import { MissingColumn, partsOn, toMemberRows, type MemberRow } from './member.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';
import { keyHash } from '../key-hash.ts';
import { sql } from '../sql.ts';
import { didYouMean } from '../../lib/similar-name.ts';

const KEYS_OF_ROW = sql('keys-of-row');
/** For mapping a change whose version does not matter. */
const NOWHERE = { source: 0, epoch: 0 };
/** Maximum number of tables, or types of events, listed in an explanation. */
const MAX_NAMES = 20;

/** Human-readable explanation of where an ingested change went. */
export interface ExplainedChange {
  /** The sets that its row belongs to now. */
  readonly sets: readonly Explanation[];
  /** Why it belongs to no set, or not to a set by every part. */
  readonly why?: string;
}

/** A row that a change or an event brings to a function. */
export interface ArrivedRow {
  readonly served: RegisteredFunction;
  readonly change: RowChange;
}

/** Explains ingested rows; `source` is the id of their source. It never throws because of their content. */
export async function explainRows(
  database: Database,
  arrived: readonly ArrivedRow[],
  source: number | null,
): Promise<ExplainedChange> {
  if (arrived.length === 0) return { sets: [], why: 'no filter of a part accepts it' };
  const sets: Explanation[] = [];
  for (const { served, change } of arrived) {
    for (const key of await keysOf(database, change, source, served)) {
      const explanation = await explain(
        queriesOf(database.control),
        served.specification.name,
        key,
      );
      if (explanation !== null) sets.push(explanation);
    }
  }
  const why = new Set(
    arrived.flatMap(({ served, change }) =>
      change.op === 'd' ? ['the row is deleted'] : keyless(change, served),
    ),
  );
  return why.size === 0 ? { sets } : { sets, why: [...why].join('; ') };
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
  // mapped as an update, because that yields a row for every part on the stream
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

/** Maps a change to the parts on its stream; returns no rows if a deciding column is missing. */
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
function keyless({ stream, row }: RowChange, served: RegisteredFunction): string[] {
  return partsOn(served, stream).flatMap(({ name, key }) =>
    key
      .filter((column) => isNull(row, column))
      .map((column) => {
        const what = Object.hasOwn(row, column) ? 'null' : 'missing';
        return `column '${column}' of ${stream} is ${what}: the row is in no set of ${served.specification.name} by its part ${name}`;
      }),
  );
}

function isNull(row: Row, column: string): boolean {
  return !Object.hasOwn(row, column) || row[column] === null;
}

/** Explains that no part reads a table, given the tables that parts read. */
export function unwantedTable(table: string, tables: readonly string[]): string {
  const parent = tables.find((each) => table.startsWith(`${each}_`));
  const partition =
    parent === undefined
      ? ''
      : `; if it is a partition of ${parent}: alter publication <name> set (publish_via_partition_root = true)`;
  return `no function that is served here names the table ${table}, only ${listed(tables)}${partition || didYouMean(table, tables)}`;
}

/** Explains that no part reads a type of events, or a topic, given the streams of both that parts read. */
export function unwantedEvent(stream: string, streams: readonly string[]): string {
  const only = streams.length === 0 ? 'and no other one' : `only ${listed(streams)}`;
  return `no function that is served here names the ${stream}, ${only}${didYouMean(stream, streams)}`;
}

function listed(names: readonly string[]): string {
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  return `${names.slice(0, MAX_NAMES).join(', ')}${more}`;
}
