/**
 * Formats column values as Debezium 3.7 does with its JsonConverter and its defaults (adaptive times, precise
 * decimals) and `include.unknown.datatypes=true`. test/stack/embedded-debezium.test.ts compares them with those of the
 * connector. Geometric types, intervals and `timetz` are sent as their text, other than there.
 */
import pg from 'pg';
import type { Column } from './source-table.ts';

const UNAVAILABLE = '__debezium_unavailable_value';
const INTEGERS = new Set(['int2', 'int4', 'int8', 'oid']);
/** Built-in types that the connector has no converter for. */
const UNKNOWN = /^(tsquery|pg_lsn|xid|xid8|cid|tid|pg_snapshot|jsonpath|reg[a-z]+)$/;
// pg has no name for text[]
const parseArray: (text: string) => Elements = pg.types.getTypeParser(1009 as number, 'text');

/** Texts of the elements of an array, which may have several dimensions. */
type Elements = readonly (string | null | Elements)[];

/** Converts PostgreSQL's text (undefined: an unchanged TOASTed value, which was not sent) to JSON. */
export function toJson(column: Column, text: string | null | undefined): unknown {
  if (text === null) {
    // Debezium can't evaluate the default now(): it becomes 1970, and stands in for null.
    const isTime = column.base === 'timestamptz' && !column.isArray && column.hasDefault;
    return isTime ? '1970-01-01T00:00:00.000000Z' : null;
  }
  if (!column.isArray) return text === undefined ? unavailable(column) : write(column, text);
  if (text === undefined) return [UNAVAILABLE];
  return elements(column, parseArray(text));
}

function elements(column: Column, texts: Elements): unknown[] {
  return texts.map((each) => {
    if (each === null) return null;
    return typeof each === 'string' ? write(column, each) : elements(column, each);
  });
}

function unavailable(column: Column): string {
  const isBytes = column.base === 'bytea' || column.base === 'numeric' || isUnknown(column);
  return isBytes ? base64(UNAVAILABLE) : UNAVAILABLE;
}

/** Types that the connector sends as the bytes of their text. */
function isUnknown({ base, kind, isBuiltIn }: Column): boolean {
  return kind === 'm' || kind === 'c' || (isBuiltIn ? UNKNOWN.test(base) : kind === 'r');
}

function write(column: Column, text: string): unknown {
  const { base, typmod } = column;
  if (isUnknown(column)) return base64(text);
  if (INTEGERS.has(base)) return JSON.rawJSON(text); // may be beyond 2^53
  switch (base) {
    case 'bool':
      return text === 't';
    case 'float4':
    case 'float8':
      return toDouble(text);
    case 'numeric':
      return toDecimal(text, typmod < 4 ? null : (((typmod - 4) & 0x7ff) ^ 1024) - 1024);
    case 'money':
      return toDecimal(text.replaceAll(/[^\d.-]/g, ''), 2);
    case 'bit':
    case 'varbit':
      return typmod === 1 ? text === '1' : toBits(text);
    case 'bytea':
      return Buffer.from(text.slice(2), 'hex').toString('base64');
    case 'date':
      return Date.parse(text) / 86_400_000;
    case 'time':
      return toMicroseconds(`1970-01-01 ${text}`, typmod);
    case 'timestamp':
      return toMicroseconds(text, typmod);
    case 'timestamptz':
      return toZonedTimestamp(text, typmod);
    default:
      return text;
  }
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

/** Formats a number as Java does: 250.0, 1.0E-7; NaN and infinities as text. */
function toDouble(text: string): unknown {
  const number = Number(text);
  if (!Number.isFinite(number)) return text;
  const size = Math.abs(number);
  const isPlain = number === 0 || (size >= 1e-3 && size < 1e7);
  const [digits, exponent] = (isPlain ? text : number.toExponential()).split('e');
  const decimal = digits!.includes('.') ? digits! : `${digits}.0`;
  return JSON.rawJSON(exponent === undefined ? decimal : `${decimal}E${Number(exponent)}`);
}

/** The bytes of the unscaled value; with its scale if each value of the column has its own. */
function toDecimal(text: string, scale: number | null): unknown {
  const [, sign, whole, fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text) ?? [];
  if (whole === undefined) return null; // NaN and infinities
  const kept = scale === null ? fraction.replace(/0+$/, '') : fraction.padEnd(scale, '0');
  const value = bytesOf(BigInt(`${sign}${whole}${kept}`)).toString('base64');
  return scale === null ? { scale: kept.length, value } : value;
}

/** The two's complement, as short as possible, as Java's BigInteger.toByteArray. */
function bytesOf(value: bigint): Buffer {
  let length = 1;
  while (BigInt.asIntN(8 * length, value) !== value) length += 1;
  const hex = BigInt.asUintN(8 * length, value).toString(16);
  return Buffer.from(hex.padStart(2 * length, '0'), 'hex');
}

/** The bits as a little-endian number, without zeros at its end, as Java's BitSet.toByteArray. */
function toBits(text: string): string {
  const bytes = Buffer.alloc(Math.ceil(text.length / 8));
  for (let i = 0; i < text.length; i += 1) {
    if (text.at(-1 - i) === '1') bytes[i >> 3]! |= 1 << (i & 7);
  }
  const last = bytes.findLastIndex((byte) => byte !== 0);
  return bytes.subarray(0, last + 1).toString('base64');
}

/** Microseconds since 1970, or milliseconds where the column has at most three decimal places. */
function toMicroseconds(text: string, typmod: number): unknown {
  const [, seconds, fraction = ''] = /^([^.]+)(?:\.(\d+))?$/.exec(text) ?? [];
  const ms = Date.parse(`${seconds!.replace(' ', 'T')}Z`);
  if (Number.isNaN(ms)) return text;
  const isCoarse = typmod >= 0 && typmod <= 3;
  return isCoarse
    ? ms + Number(fraction.padEnd(3, '0'))
    : ms * 1000 + Number(fraction.padEnd(6, '0'));
}

/** Converts `2026-11-21 08:50:13.22+00` (session in UTC) to `2026-11-21T08:50:13.220000Z`. */
function toZonedTimestamp(text: string, typmod: number): string {
  const [, day, time, fraction = ''] = /^(\S+) ([\d:]+)(?:\.(\d+))?\+00$/.exec(text) ?? [];
  if (day === undefined) return text;
  const places = typmod < 0 ? 6 : typmod;
  return `${day}T${time}${places === 0 ? '' : `.${fraction.padEnd(places, '0')}`}Z`;
}
