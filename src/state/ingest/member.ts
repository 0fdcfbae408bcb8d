import { metFilters, refusedBy } from '../filters.ts';
import { versionsOf, type SourceEpoch, type Versioned } from '../version.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { UNAVAILABLE, type Row, type RowChange } from '../change.ts';
import type { PartSpecification } from '../../definitions/specification.ts';
import { contextOf } from '../../telemetry/spans.ts';
import { toBytea } from '../../telemetry/trace.ts';

/** One row of ingest-changes.sql: what a change says about one part of one function. */
export interface MemberRow extends Versioned {
  readonly function: number;
  readonly partIndex: number;
  /** Id of the connector it came from: its rows are its own. */
  readonly source: number;
  readonly id: string;
  readonly key: string | null;
  readonly inSet: boolean;
  /** The key under which the initial snapshot found the row held; null where another change says it. */
  readonly history: string | null;
  /** JSON text */
  readonly columns: string | null;
  /**
   * JSON text: columns the source did not send, each with 0 (nothing fills it yet) or `[version, at, commits]`
   * of what does, and `true` behind them where the column decides
   */
  readonly missingColumns: string | null;
  /** Where its event stands in a trace, for `bytea`; null where that is not sampled. */
  readonly trace: string | null;
}

/** Longest key or primary key in bytes: an index entry holds 2,704 in all. */
export const MAX_TEXT_BYTES = 1024;

/** A value that can't name a row or a set. */
class BadKey extends Error {}
/** A column that decides was not sent; the row as it is known could tell. */
export class MissingColumn extends Error {}
/** A column that a part names is not in the message at all, which is not the same as null. */
class AbsentColumn extends Error {}

/** Why a change says nothing that can be stored about one part. */
export interface Problem {
  readonly reason: 'bad-key' | 'incomplete-change' | 'unavailable-column';
  readonly detail: string;
}

/** What a change says about the parts on its table. */
export interface Said {
  readonly rows: readonly MemberRow[];
  /** One for each part that it says nothing about, for this reason: the event is parked for it. */
  readonly problems: readonly Problem[];
}

/** A row that is in no set of its part: deleted, or moved to a key that can't be stored. */
export const GONE = { key: null, inSet: false, columns: null, missingColumns: null } as const;

/**
 * What a change says about the parts on its table: one row per part. A create that one part takes
 * leaves no row in the parts that refuse it, and one that no part takes leaves a single refused row,
 * in the part it comes closest to, so that "refused by which filter" can be answered; every other operation leaves a row in each
 * part, or an older create that comes later would bring a phantom. A part that keeps further columns
 * remembers also what it refuses: the update that brings the row into it may not send them again.
 *
 * A part that can't tell what the change means is a {@link Problem} and does not keep the others from
 * it. Where the new key can't be stored the row has left its old set all the same, and is gone.
 *
 * Throws {@link MissingColumn}, unless `toRow` knows more than the change.
 */
export function toMemberRows(
  change: RowChange,
  place: SourceEpoch,
  served: RegisteredFunction,
  toRow: typeof toMemberRow = toMemberRow,
): Said {
  const { specification } = served;
  const parts = specification.parts.filter((part) => part.table === change.table);
  const versions = versionsOf(change, place);
  const isHistory = change.snapshot === 'initial' && specification.history === 'skip';
  const context = contextOf(change.origin.span);
  const trace = context === null ? null : toBytea(context);
  const rows: MemberRow[] = [];
  const problems: Problem[] = [];
  const factsOf = (part: PartSpecification): Facts => ({
    function: served.id,
    partIndex: served.partIndexOf.get(part.name)!,
    source: place.source,
    id: textOf(change.row, part.id, 'primary key')!,
    ...versions,
    history: null,
    trace,
  });
  const say = (part: PartSpecification, forgets: boolean): void => {
    const facts = factsOf(part);
    if (change.op === 'd') {
      rows.push({ ...facts, ...GONE });
      return;
    }
    const row = pick(change.row, part);
    if (forgets && refusedBy(row, part) !== null) return; // mostly it is another part's
    try {
      const said = toRow(row, part, facts);
      const { inSet, key } = said;
      if (!forgets || inSet) rows.push(isHistory && inSet ? { ...said, history: key } : said);
    } catch (error) {
      if (error instanceof BadKey) rows.push({ ...facts, ...GONE });
      throw error;
    }
  };
  const attempt = (part: PartSpecification, forgets: boolean): void => {
    try {
      say(part, forgets);
    } catch (error) {
      // where `toRow` knows all that is stored, nobody knows more of the row
      if (error instanceof MissingColumn && toRow === toMemberRow) throw error;
      problems.push(toProblem(error, change.table, part, specification.name));
    }
  };
  for (const part of parts) attempt(part, change.op === 'c' && !part.keepsMore);
  if (rows.length === 0 && problems.length === 0 && parts.length > 0) {
    attempt(closest(parts, change.row), false);
  }
  return { rows, problems };
}

/** The part of a row that does not come from its columns. */
type Facts = Omit<MemberRow, keyof typeof GONE>;

function toProblem(error: unknown, table: string, part: PartSpecification, fn: string): Problem {
  if (error instanceof BadKey) return { reason: 'bad-key', detail: error.message };
  if (error instanceof AbsentColumn) {
    return {
      reason: 'incomplete-change',
      detail: `column ${error.message} of ${table} is not in the message; part ${part.name} of ${fn} names it`,
    };
  }
  if (error instanceof MissingColumn) {
    return {
      reason: 'unavailable-column',
      detail: `column '${error.message}' of ${table} was not sent, and nothing is known of the row: its table needs REPLICA IDENTITY FULL, for which 'muster doctor --source <url>' lists the statements`,
    };
  }
  throw error;
}

type Sources = Readonly<Record<string, Versioned>>;

/**
 * What a row says about one part. `sources` are the versions of columns that the row's own did not carry;
 * null where what is stored was not looked at. Throws {@link MissingColumn} where one that decides is not
 * known.
 */
export function toMemberRow(
  row: Row,
  part: PartSpecification,
  facts: Facts,
  sources: Sources | null = null,
): MemberRow {
  const refused = refusedBy(row, part) !== null;
  // a null in its key keeps a row from every set, whatever its filters say
  if (!refused && !part.key.some((column) => row[column] === null)) {
    for (const column in part.where) known(row, column);
  }
  const key = refused ? keyOfRefused(row, part, sources) : textOf(row, part.key, 'key');
  return {
    ...facts,
    key,
    inSet: !refused && key !== null,
    columns: JSON.stringify(row), // leaves out what is UNAVAILABLE, a symbol
    missingColumns: holesOf(row, part, sources ?? {}),
  };
}

/** The set that a refused row would be in: people ask for it, but nothing rests on it. */
function keyOfRefused(row: Row, part: PartSpecification, sources: Sources | null): string | null {
  try {
    return textOf(row, part.key, 'key');
  } catch (error) {
    // where `sources` are given, nobody knows more of the row
    if (error instanceof BadKey || (error instanceof MissingColumn && sources !== null)) {
      return null;
    }
    throw error;
  }
}

/** Of parts that all refuse a row, the one that agrees in most filters. */
function closest(parts: readonly PartSpecification[], row: Row): PartSpecification {
  const met = parts.map((part) => metFilters(pick(row, part), part));
  return parts[met.indexOf(Math.max(...met))]!;
}

/**
 * Canonical text of the key's or primary key's columns: the value itself, or a JSON array of the
 * values. Null if one of them is null: such a row belongs to no set.
 */
function textOf(row: Row, columns: readonly string[], what: string): string | null {
  const texts: string[] = [];
  for (const column of columns) {
    const value = known(row, column);
    if (value === undefined || value === null) {
      if (what === 'key') return null;
      throw new BadKey(`primary key column '${column}' is ${value === null ? 'null' : 'absent'}`);
    }
    texts.push(scalarText(value, column));
  }
  const text = texts.length === 1 ? texts[0]! : JSON.stringify(texts);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_TEXT_BYTES) {
    throw new BadKey(
      `${what} (${columns.join(', ')}) has ${bytes} bytes; at most ${MAX_TEXT_BYTES} are indexed`,
    );
  }
  return text;
}

function scalarText(value: unknown, column: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (JSON.isRawJSON(value)) return value.rawJSON;
  const what = Array.isArray(value) ? 'an array' : 'an object';
  throw new BadKey(`column '${column}' is ${what}, and can't be part of a key`);
}

function known(row: Row, column: string): unknown {
  const value = Object.hasOwn(row, column) ? row[column] : undefined;
  if (value === UNAVAILABLE) throw new MissingColumn(column);
  return value;
}

function holesOf(row: Row, part: PartSpecification, sources: Sources): string | null {
  let missingColumns: Record<string, unknown> | null = null;
  for (const column of part.columns) {
    if (row[column] === UNAVAILABLE) (missingColumns ??= {})[column] = 0;
    if (Object.hasOwn(sources, column)) {
      (missingColumns ??= {})[column] = hole(sources[column]!, part, column);
    }
  }
  return missingColumns && JSON.stringify(missingColumns);
}

function hole(
  { version, at, commits }: Versioned,
  part: PartSpecification,
  column: string,
): unknown[] {
  const decides = part.key.includes(column) || Object.hasOwn(part.where, column);
  const after = commits === null ? null : toJson(commits);
  return [toJson(version), at, after, ...(decides ? [true] : [])];
}

function toJson(position: bigint): unknown {
  return JSON.rawJSON(String(position));
}

/**
 * The columns of a row that a part keeps, base64 replaced by the text it stands for. Throws {@link
 * AbsentColumn}: Debezium sends every column that the table has and the connector captures, so one that is
 * not there was renamed, dropped, left out or generated, and nothing is known of its value.
 */
function pick(row: Row, { columns, base64 }: PartSpecification): Row {
  const picked: Record<string, unknown> = {};
  for (const column of columns) {
    if (!Object.hasOwn(row, column)) throw new AbsentColumn(column);
    const value = row[column];
    picked[column] = typeof value === 'string' && base64.includes(column) ? decode(value) : value;
  }
  return picked;
}

/** A value that is no base64 of text is left as it is. */
function decode(value: string): string {
  const bytes = Buffer.from(value, 'base64');
  const text = bytes.toString();
  return bytes.toString('base64') === value && Buffer.from(text).equals(bytes) ? text : value;
}
