/**
 * Resolves changes that lack a deciding column (a key or a filter column): Postgres does not send a value that
 * is stored out of line and did not change. The value is that of the newest version that carried it, which may
 * arrive later than the change.
 */
import { UNAVAILABLE, type Row, type RowChange } from '../change.ts';
import { REMOVED, toMemberRow, toMemberRows, type MappedChange } from './member.ts';
import { deriveColumns } from '../derived-columns.ts';
import { isNewer, type SourceEpoch, type Versioned } from '../version.ts';
import {
  partsOf,
  type PartOf,
  type RegisteredFunction,
} from '../../definitions/registered-function.ts';

/** The parts of a stored row that a change with missing columns needs. */
export interface KnownMember extends Versioned {
  readonly function: number;
  readonly partIndex: number;
  readonly id: string;
  /** Whether its set was purged. Its columns are kept, for a later change that does not send all of them. */
  readonly purged: boolean;
  /** Null if they are not stored, because the row is deleted or {@link literals} is given. */
  readonly columns: Row | null;
  /** How the columns follow from the key, if they do. */
  readonly literals: number | null;
  /** Key of its set, if the columns follow from it and the set is known. */
  readonly key: string | null;
  /** Columns that the row's own version did not carry, each with the version it came from; null if unknown. */
  readonly missingColumns: Readonly<Record<string, Versioned | null>>;
}

interface Carried extends Versioned {
  readonly value: unknown;
}

/**
 * Maps a change to the parts on its table, its missing columns filled with their newest known values. For a
 * change that is older than a stored row and carries a column which that row lacks, the result is the stored
 * row with that column filled, under the stored row's version.
 */
export function resolveRows(
  change: RowChange,
  place: SourceEpoch,
  served: RegisteredFunction,
  known: readonly KnownMember[],
): MappedChange {
  // Mapped as a delete, because that yields the row's id in every part; it may be a different column in each.
  const ids = new Map(
    toMemberRows({ ...change, op: 'd' }, place, served).rows.map(({ partIndex, id }) => [
      partIndex,
      id,
    ]),
  );
  const partOf = partsOf([served]);
  const members = known
    .filter(({ function: fn, partIndex, id }) => fn === served.id && ids.get(partIndex) === id)
    .map((member) => withColumns(member, partOf));
  // A create is mapped to a row for every part here, too: a part that rejects it may still store the row from
  // before it was deleted and created again.
  const op = change.op === 'c' ? 'u' : change.op;
  const toRow: typeof toMemberRow = (row, part, facts) => {
    const stored = members.find(({ partIndex }) => partIndex === facts.partIndex);
    // deleted or purged at this version or later: the change is stale, regardless of its columns
    if (members.some((each) => (each.purged || each.columns === null) && !isNewer(facts, each))) {
      return { ...facts, ...REMOVED };
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
  };
  return toMemberRows({ ...change, op }, place, served, { toRow });
}

/** Returns a stored row with its columns, if they follow from its key. */
function withColumns(member: KnownMember, partOf: PartOf): KnownMember {
  const { literals, key, id } = member;
  const part = partOf(member.function, member.partIndex);
  if (literals === null || key === null || part === undefined) return member;
  return { ...member, columns: deriveColumns(part, key, id, literals, JSON.rawJSON) };
}

/** Returns a stored row with only the columns that its own version carried. */
function rowOf({ columns, missingColumns }: KnownMember): Record<string, unknown> {
  const lacking = Object.keys(missingColumns).map((column) => [column, UNAVAILABLE]);
  return { ...columns, ...Object.fromEntries(lacking) };
}

/** Returns the value of a column in the newest version that carried it: the change, or a stored row. */
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
