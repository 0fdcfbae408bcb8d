/**
 * Changes that lack a column which decides (a key or a filter): Postgres does not send a value that is
 * stored out of line and did not change. It is that of the newest version which carried it, and this
 * version may come later than the change.
 */
import { UNAVAILABLE, type Row, type RowChange } from '../change.ts';
import { toMemberRow, toMemberRows, type Said } from './member.ts';
import { isNewer, type SourceEpoch, type Versioned } from '../version.ts';
import { type RegisteredFunction } from '../../definitions/registered-function.ts';

/** A stored row, as far as a change with missing columns needs it. */
export interface KnownMember extends Versioned {
  readonly function: number;
  readonly partIndex: number;
  readonly id: string;
  /** With its set, which leaves the columns for a later change that does not send them all. */
  readonly purged: boolean;
  readonly columns: Row | null;
  /** Columns that the row's own version did not carry, each with the one it is from; null: with none. */
  readonly missingColumns: Readonly<Record<string, Versioned | null>>;
}

interface Carried extends Versioned {
  readonly value: unknown;
}

/**
 * What a change says about the parts on its table, its missing columns filled with the newest that is
 * known. A change that is older than a stored row, and carries what that one lacks, gives that row
 * anew, under its own version.
 */
export function resolveRows(
  change: RowChange,
  place: SourceEpoch,
  served: RegisteredFunction,
  known: readonly KnownMember[],
): Said {
  // A delete says nothing but the row's id in each part, which may be another column in each.
  const ids = new Map(
    toMemberRows({ ...change, op: 'd' }, place, served).rows.map(({ partIndex, id }) => [
      partIndex,
      id,
    ]),
  );
  const members = known.filter(
    ({ function: fn, partIndex, id }) => fn === served.id && ids.get(partIndex) === id,
  );
  // A create, too, says something about every part here: one that refuses it may hold the row by what is
  // known of the row's life before.
  const op = change.op === 'c' ? 'u' : change.op;
  return toMemberRows({ ...change, op }, place, served, (row, part, facts) => {
    const stored = members.find(({ partIndex }) => partIndex === facts.partIndex);
    // deleted, or purged, at this version or later: nothing need be known to refuse it
    if (members.some((each) => (each.purged || each.columns === null) && !isNewer(facts, each))) {
      return { ...facts, key: null, inSet: false, columns: null, missingColumns: null };
    }
    const newest = stored !== undefined && isNewer(stored, facts) ? stored : null;
    const filled: Record<string, unknown> = newest === null ? { ...row } : rowOf(newest);
    const sources: Record<string, Versioned> = {};
    for (const column of part.columns) {
      const lacks =
        newest === null
          ? row[column] === UNAVAILABLE
          : Object.hasOwn(newest.missingColumns, column);
      const source = lacks ? newestOf(column, row, facts, members) : null;
      if (source === null) continue;
      filled[column] = source.value;
      sources[column] = source;
    }
    if (newest === null) return toMemberRow(filled, part, facts, sources);
    const { version, at, commits } = newest;
    return toMemberRow(filled, part, { ...facts, version, at, commits }, sources);
  });
}

/** A stored row as its own version said it. */
function rowOf({ columns, missingColumns }: KnownMember): Record<string, unknown> {
  const lacking = Object.keys(missingColumns).map((column) => [column, UNAVAILABLE]);
  return { ...columns, ...Object.fromEntries(lacking) };
}

/** The value of a column in the newest version that carried it, be it the change's or a stored one. */
function newestOf(
  column: string,
  row: Row,
  facts: Versioned,
  members: readonly KnownMember[],
): Carried | null {
  let newest: Carried | null = null;
  const offer = (version: Versioned, value: unknown) => {
    if (newest === null || isNewer(version, newest)) newest = { ...version, value };
  };
  if (Object.hasOwn(row, column) && row[column] !== UNAVAILABLE) offer(facts, row[column]);
  for (const { columns, missingColumns, version, at, commits } of members) {
    if (columns === null || !Object.hasOwn(columns, column)) continue;
    const from = Object.hasOwn(missingColumns, column)
      ? missingColumns[column]!
      : { version, at, commits };
    if (from !== null) offer(from, columns[column]);
  }
  return newest;
}
