import { metFilters, refusedBy } from '../filters.ts';
import { literalsOf } from '../derived-columns.ts';
import { versionsOf, type SourceEpoch, type Versioned } from '../version.ts';
import { AbsentColumn, pick } from './pick-columns.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { UNAVAILABLE, type Row, type RowChange } from '../change.ts';
import type { PartSpecification } from '../../definitions/part-specification.ts';
import { streamOf } from '../../definitions/streams.ts';
import { contextOf } from '../../telemetry/spans.ts';
import { toBytea } from '../../telemetry/trace.ts';

/** One row of ingest-changes.sql: what a change means for one part of one function. */
export interface MemberRow extends Versioned {
  readonly function: number;
  readonly partIndex: number;
  /** Id of the connector it came from. Rows of different connectors are different rows. */
  readonly source: number;
  readonly id: string;
  readonly key: string | null;
  readonly inSet: boolean;
  /** Key of the set in which the initial snapshot found the row; null if the change is not from one. */
  readonly history: string | null;
  /** JSON text; null if they follow from key, id and filters, or for a row that is in no set. */
  readonly columns: string | null;
  /** How the columns follow from key, id and filters (derived-columns.ts); null if they are stored, or none are. */
  readonly literals: number | null;
  /**
   * JSON text: columns the source did not send, each with `[version, at, commits]` of the version that fills
   * it, followed by `true` if the column is a deciding one. Without a version, nothing fills it yet.
   */
  readonly missingColumns: string | null;
  /** Trace context of its event, for `bytea`; null if it is not sampled. */
  readonly trace: string | null;
}

/** Longest key or primary key in bytes: the limit of an index entry is 2,704 in total. */
export const MAX_TEXT_BYTES = 1024;

/** A value that can't be the id of a row or the key of a set. */
class BadKey extends Error {}
/** A deciding column (key or filter) was not sent, but may be known from stored versions of the row. */
export class MissingColumn extends Error {}

/** Why a change can't be stored for one part. */
export interface Problem {
  readonly reason:
    | 'bad-event'
    | 'bad-key'
    | 'bad-value'
    | 'incomplete-change'
    | 'unavailable-column';
  readonly detail: string;
}

/** The member rows of a change, for the parts on its stream. */
export interface MappedChange {
  readonly rows: readonly MemberRow[];
  /** One for each part for which the change can't be stored; the event is parked for them. */
  readonly problems: readonly Problem[];
}

/** A row that is in no set of its part: deleted, or moved to a key that can't be stored. */
export const REMOVED = {
  key: null,
  inSet: false,
  columns: null,
  literals: null,
  missingColumns: null,
} as const;

/** Returns the version of a row that is gone. */
export function removedRow(
  name: Pick<MemberRow, 'function' | 'partIndex' | 'source' | 'id'>,
  { version, at, commits }: Versioned,
): MemberRow {
  return { ...name, version, at, commits, ...REMOVED, history: null, trace: null };
}

export interface MappingOptions {
  /** The parts to map the change to; by default all on its stream. */
  readonly parts?: readonly PartSpecification[];
  /** Maps the row for one part with all that is stored, so that a deciding column which it lacks is a problem. */
  readonly toRow?: typeof toMemberRow;
}

/**
 * Maps a change to one row for each of its parts. There are exceptions for creates: one that some part accepts
 * produces no rows for the parts that reject it, and one that every part rejects produces a single rejected row,
 * for the part that it comes closest to, so that `explain` can name the filter. Every other operation produces a
 * row for each part; otherwise an older create that arrives later would add a phantom. A part that stores further
 * columns gets rejected creates as well, because the update that brings the row into it may not send these columns
 * again.
 *
 * A part for which the change can't be interpreted is reported as a {@link Problem}; the other parts are not
 * affected. If the new key can't be stored, the row has left its old set nevertheless, and is removed.
 *
 * Throws {@link MissingColumn} if a deciding column is missing, unless `toRow` is given.
 */
export function toMemberRows(
  change: RowChange,
  place: SourceEpoch,
  served: RegisteredFunction,
  { parts = partsOn(served, change.stream), toRow }: MappingOptions = {},
): MappedChange {
  const { specification } = served;
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
    id: idOf(change.row, part),
    ...versions,
    history: null,
    trace,
  });
  const add = (part: PartSpecification, omitsRejected: boolean): void => {
    let facts: Facts | null = null;
    try {
      facts = factsOf(part);
      if (change.op === 'd') {
        rows.push({ ...facts, ...REMOVED });
        return;
      }
      const row = pick(change.row, part);
      if (omitsRejected && refusedBy(row, part) !== null) return; // usually accepted by another part
      const mapped = (toRow ?? toMemberRow)(row, part, facts);
      const { inSet, key } = mapped;
      if (omitsRejected && !inSet) return;
      rows.push(isHistory && inSet ? { ...mapped, history: key } : mapped);
    } catch (error) {
      if (error instanceof MissingColumn && toRow === undefined) throw error;
      if (error instanceof BadKey && facts !== null) rows.push({ ...facts, ...REMOVED });
      problems.push(toProblem(error, change.stream, part, specification.name));
    }
  };
  for (const part of parts) add(part, change.op === 'c' && !part.keepsMore);
  if (rows.length === 0 && problems.length === 0 && parts.length > 0) {
    add(closest(parts, change.row), false);
  }
  return { rows, problems };
}

/** Returns the parts of a function that read a stream. */
export function partsOn(
  { specification }: RegisteredFunction,
  stream: string,
): readonly PartSpecification[] {
  return specification.parts.filter((part) => streamOf(part) === stream);
}

/** The fields of a row that do not depend on its columns. */
type Facts = Omit<MemberRow, keyof typeof REMOVED>;

function toProblem(error: unknown, stream: string, part: PartSpecification, fn: string): Problem {
  if (error instanceof BadKey) return { reason: 'bad-key', detail: error.message };
  if (error instanceof AbsentColumn) {
    return {
      reason: 'incomplete-change',
      detail: `column ${error.message} of ${stream} is not in the message; part ${part.name} of ${fn} names it`,
    };
  }
  if (error instanceof MissingColumn) {
    return {
      reason: 'unavailable-column',
      detail: `column '${error.message}' of ${stream} was not sent, and nothing is known of the row: its table needs REPLICA IDENTITY FULL, for which 'muster doctor --source <url>' lists the statements`,
    };
  }
  throw error;
}

type Sources = Readonly<Record<string, Versioned>>;

/**
 * Maps a row to the member row of one part. `sources` are the versions of the columns that the row's own
 * version did not carry; null if the stored versions were not looked at. Throws {@link MissingColumn} if a
 * deciding column is unknown.
 */
export function toMemberRow(
  row: Row,
  part: PartSpecification,
  facts: Facts,
  sources: Sources | null = null,
): MemberRow {
  const refused = refusedBy(row, part) !== null;
  // a row with a null in its key is in no set, whether or not it matches the filters
  if (!refused && !part.key.some((column) => row[column] === null)) {
    for (const column in part.where) known(row, column);
  }
  const key = refused ? keyOfRefused(row, part, sources) : keyOf(row, part);
  const missingColumns = missingColumnsOf(row, part, sources ?? {});
  const isWhole = !refused && key !== null && sources === null && missingColumns === null;
  const literals = isWhole ? literalsOf(row, part, key, facts.id) : null;
  return {
    ...facts,
    key,
    inSet: !refused && key !== null,
    columns: literals === null ? JSON.stringify(row) : null, // omits UNAVAILABLE values, which are symbols
    literals,
    missingColumns,
  };
}

/** Returns the key of the set that a rejected row would be in. It is only informative. */
function keyOfRefused(row: Row, part: PartSpecification, sources: Sources | null): string | null {
  try {
    return keyOf(row, part);
  } catch (error) {
    // if `sources` are given, the stored versions do not have the column either
    if (error instanceof BadKey || (error instanceof MissingColumn && sources !== null)) {
      return null;
    }
    throw error;
  }
}

/** Returns the part whose filters match a row best; all of the parts reject it. */
function closest(parts: readonly PartSpecification[], row: Row): PartSpecification {
  const met = parts.map((part) => metFilters(pick(row, part), part));
  return parts[met.indexOf(Math.max(...met))]!;
}

/** Returns the key of the row's set; null if a key column is null or absent: such a row belongs to no set. */
function keyOf(row: Row, { key }: PartSpecification): string | null {
  const isNull = key.some((column) => (known(row, column) ?? null) === null);
  return isNull ? null : textOf(row, key, 'key');
}

function idOf(row: Row, { id }: PartSpecification): string {
  for (const column of id) {
    const value = Object.hasOwn(row, column) ? row[column] : undefined;
    if (value !== undefined && value !== null && value !== UNAVAILABLE) continue;
    const what = value === undefined ? 'is absent' : value === null ? 'is null' : 'was not sent';
    throw new BadKey(`primary key column '${column}' ${what}`);
  }
  return textOf(row, id, 'primary key');
}

/** Returns the canonical text of columns: the value itself, or a JSON array of the values. */
function textOf(row: Row, columns: readonly string[], what: string): string {
  const texts = columns.map((column) => scalarText(row[column], column));
  const text = texts.length === 1 ? texts[0]! : JSON.stringify(texts);
  const bytes = Buffer.byteLength(text);
  if (bytes > MAX_TEXT_BYTES) {
    throw new BadKey(
      `${what} (${columns.join(', ')}) has ${bytes} bytes; the maximum is ${MAX_TEXT_BYTES}`,
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

function missingColumnsOf(row: Row, part: PartSpecification, sources: Sources): string | null {
  let missingColumns: Record<string, unknown> | null = null;
  for (const column of part.columns) {
    const source = Object.hasOwn(sources, column) ? sources[column]! : null;
    if (source === null && row[column] !== UNAVAILABLE) continue;
    (missingColumns ??= {})[column] = fillerOf(source, part, column);
  }
  return missingColumns && JSON.stringify(missingColumns);
}

function fillerOf(source: Versioned | null, part: PartSpecification, column: string): unknown[] {
  const decides = part.key.includes(column) || Object.hasOwn(part.where, column);
  if (source === null) return decides ? [null, null, null, true] : [];
  const { version, at, commits } = source;
  const after = commits === null ? null : toJson(commits);
  return [toJson(version), at, after, ...(decides ? [true] : [])];
}

function toJson(position: bigint): unknown {
  return JSON.rawJSON(String(position));
}
