import { UNAVAILABLE, type Row, type RowChange } from './change.ts';
import type { PartSpecification, Specification } from './definition.ts';
import type { Scalar } from '../function.ts';
import { contextOf } from '../spans.ts';
import { toBytea } from '../trace.ts';

/** One row of the filing statement: what a change says about one part of one function. */
export interface MemberRow {
  readonly function: number;
  readonly lane: number;
  readonly id: string;
  /** epoch << 55 | lsn; 0 for a snapshot read */
  readonly version: bigint;
  readonly at: number;
  readonly key: string | null;
  readonly held: boolean;
  readonly live: boolean;
  /** JSON text */
  readonly columns: string | null;
  /**
   * JSON text: columns the source did not send, each with 0 (nothing fills it yet) or `[version, at]` of
   * what does, and `true` behind them where the column decides
   */
  readonly holes: string | null;
  /** Where its event stands in a trace, for `bytea`; null where that is not sampled. */
  readonly trace: string | null;
}

/** A function as this process serves it, with what registration gave it. */
export interface Served {
  readonly id: number;
  readonly generation: number;
  /** Names this registration; statements that rest on the definition compare it. */
  readonly registration: string;
  readonly specification: Specification;
  readonly laneOf: ReadonlyMap<string, number>;
}

/** Longest key or primary key in bytes: an index entry holds 2,704 in all. */
const MAX_TEXT_BYTES = 1024;
/** Positions within an epoch: 2^55 bytes of log are 32 PiB. */
export const LSN_BITS = 55n;

/** A value that can't name a row or a set. */
export class BadKey extends Error {}
/** A column that decides was not sent; the row as it is known could tell. */
export class MissingColumn extends Error {}

/**
 * What a change says about the parts on its table: one row per part. A create that one part takes
 * leaves no row in the parts that refuse it, and one that no part takes leaves a single refused row,
 * in the part it comes closest to, so that "refused by which filter" can be answered; every other operation leaves a row in each
 * part, or an older create that comes later would bring a phantom. A part that keeps further columns
 * remembers also what it refuses: the update that brings the row into it may not send them again.
 */
export function toMemberRows(
  change: RowChange,
  epoch: number,
  served: Served,
  toRow: typeof toMemberRow = toMemberRow,
): MemberRow[] {
  const { specification } = served;
  const version = change.op === 'r' ? 0n : (BigInt(epoch) << LSN_BITS) | (change.lsn ?? 0n);
  const live = !(change.snapshot === 'initial' && specification.history === 'skip');
  const context = contextOf(change.origin.span);
  const trace = context === null ? null : toBytea(context);
  const say = (part: PartSpecification, row: Row): MemberRow => {
    const facts = {
      function: served.id,
      lane: served.laneOf.get(part.name)!,
      id: textOf(row, part.id, 'primary key')!,
      version,
      at: change.at,
      live,
      trace,
    };
    return change.op === 'd'
      ? { ...facts, key: null, held: false, columns: null, holes: null }
      : toRow(row, part, facts);
  };
  const parts = specification.parts.filter((part) => part.table === change.table);
  const rows: MemberRow[] = [];
  for (const part of parts) {
    const row = pick(change.row, part);
    const forgets = change.op === 'c' && !part.keepsMore;
    if (forgets && disagrees(row, part)) continue; // mostly it is another part's
    const said = say(part, row);
    if (!forgets || said.held) rows.push(said);
  }
  if (rows.length > 0 || parts.length === 0) return rows;
  const part = closest(parts, change.row);
  return [say(part, pick(change.row, part))];
}

/**
 * What a row says about one part. `sources` are the versions of columns that the row's own did not carry.
 * Throws {@link MissingColumn} where one that decides is not known.
 */
export function toMemberRow(
  row: Row,
  part: PartSpecification,
  facts: Pick<MemberRow, 'function' | 'lane' | 'id' | 'version' | 'at' | 'live' | 'trace'>,
  sources: Readonly<Record<string, Versioned>> = {},
): MemberRow {
  const key = textOf(row, part.key, 'key');
  const held = key !== null && refusal(row, part) === null;
  return {
    ...facts,
    key,
    held,
    columns: JSON.stringify(row), // leaves out what is UNAVAILABLE, a symbol
    holes: holesOf(row, part, sources),
  };
}

/** Of parts that all refuse a row, the one that agrees in most filters. */
function closest(parts: readonly PartSpecification[], row: Row): PartSpecification {
  const met = parts.map((part) => metFilters(pick(row, part), part));
  return parts[met.indexOf(Math.max(...met))]!;
}

type Versioned = Pick<MemberRow, 'version' | 'at'>;

/** `muster.newer` of 001_state.sql, which says why. */
export function isNewer(a: Versioned, b: Versioned): boolean {
  if (a.version > 0n && b.version > 0n) return a.version > b.version;
  return score(a) > score(b);
}

function score({ version, at }: Versioned): number {
  return version > 0n ? 2 * (at + 60_000) + 1 : 2 * at;
}

/** Which filter of a part refuses a row: the first that differs; null when none does. */
export function refusal(
  row: Row,
  part: PartSpecification,
): { column: string; wanted: Scalar; got: unknown } | null {
  for (const [column, wanted] of Object.entries(part.where)) {
    const got = known(row, column) ?? null;
    if (!agrees(got, wanted)) return { column, wanted, got };
  }
  return null;
}

/** Does a filter of a part refuse a row, whatever the source did not send of it? */
function disagrees(row: Row, part: PartSpecification): boolean {
  for (const column in part.where) {
    const got = (Object.hasOwn(row, column) ? row[column] : null) ?? null;
    if (got !== UNAVAILABLE && !agrees(got, part.where[column]!)) return true;
  }
  return false;
}

/** How many filters of a part a row meets. */
export function metFilters(row: Row, part: PartSpecification): number {
  return Object.entries(part.where).filter(([column, wanted]) =>
    agrees((Object.hasOwn(row, column) ? row[column] : null) ?? null, wanted),
  ).length;
}

function agrees(got: unknown, wanted: Scalar): boolean {
  return got === wanted || (JSON.isRawJSON(got) && got.rawJSON === String(wanted));
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

function holesOf(
  row: Row,
  part: PartSpecification,
  sources: Readonly<Record<string, Versioned>>,
): string | null {
  let holes: Record<string, unknown> | null = null;
  for (const column of part.columns) {
    if (row[column] === UNAVAILABLE) (holes ??= {})[column] = 0;
    if (Object.hasOwn(sources, column))
      (holes ??= {})[column] = hole(sources[column]!, part, column);
  }
  return holes && JSON.stringify(holes);
}

function hole({ version, at }: Versioned, part: PartSpecification, column: string): unknown[] {
  const decides = part.key.includes(column) || Object.hasOwn(part.where, column);
  return [JSON.rawJSON(String(version)), at, ...(decides ? [true] : [])];
}

/** The columns of a row that a part keeps, base64 replaced by the text it stands for. */
function pick(row: Row, { columns, base64 }: PartSpecification): Row {
  const picked: Record<string, unknown> = {};
  for (const column of columns) {
    if (!Object.hasOwn(row, column)) continue;
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
