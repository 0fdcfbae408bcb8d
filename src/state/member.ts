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
  const rows: MemberRow[] = [];
  const remembered: MemberRow[] = [];
  for (const part of specification.parts) {
    if (part.table !== change.table) continue;
    const row = decode(change.row, part.base64);
    const facts = {
      function: served.id,
      lane: served.laneOf.get(part.name)!,
      id: textOf(row, part.id, 'primary key')!,
      version,
      at: change.at,
      live,
      trace,
    };
    if (change.op === 'd') {
      rows.push({ ...facts, key: null, held: false, columns: null, holes: null });
      continue;
    }
    const made = toRow(row, part, facts);
    rows.push(made);
    if (made.held || part.keepsMore) remembered.push(made);
  }
  if (change.op !== 'c') return rows;
  return remembered.length > 0 || rows.length === 0 ? remembered : [closest(rows, change, served)];
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
  return { ...facts, key, held, ...keep(row, part, sources) };
}

/** Of rows that are all refused, one for each part on the table, the one whose part agrees in most filters. */
function closest(rows: readonly MemberRow[], change: RowChange, served: Served): MemberRow {
  const met = served.specification.parts
    .filter((part) => part.table === change.table)
    .map((part) => metFilters(decode(change.row, part.base64), part));
  return rows[met.indexOf(Math.max(...met))]!;
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

function keep(
  row: Row,
  part: PartSpecification,
  sources: Readonly<Record<string, Versioned>>,
): { columns: string; holes: string | null } {
  const columns: Record<string, unknown> = {};
  let holes: Record<string, unknown> | null = null;
  for (const column of part.columns) {
    if (!Object.hasOwn(row, column)) continue;
    const source = Object.hasOwn(sources, column) ? sources[column]! : null;
    if (row[column] === UNAVAILABLE) (holes ??= {})[column] = 0;
    else columns[column] = row[column];
    if (source !== null) (holes ??= {})[column] = hole(source, part, column);
  }
  return { columns: JSON.stringify(columns), holes: holes && JSON.stringify(holes) };
}

function hole({ version, at }: Versioned, part: PartSpecification, column: string): unknown[] {
  const decides = part.key.includes(column) || Object.hasOwn(part.where, column);
  return [JSON.rawJSON(String(version)), at, ...(decides ? [true] : [])];
}

/** Replaces base64 by the text it stands for; a value that is no base64 of text is left as it is. */
function decode(row: Row, columns: readonly string[]): Row {
  if (columns.length === 0) return row;
  const decoded: Record<string, unknown> = { ...row };
  for (const column of columns) {
    const value = decoded[column];
    if (typeof value !== 'string') continue;
    const bytes = Buffer.from(value, 'base64');
    const text = bytes.toString();
    if (bytes.toString('base64') === value && Buffer.from(text).equals(bytes))
      decoded[column] = text;
  }
  return decoded;
}
