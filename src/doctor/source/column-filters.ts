/** Finds filters that never match, because no value of their column arrives in the form they compare with. */
import type { Scalar } from '../../function.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import { sqlState } from '../../state/database/database.ts';
import type { SourceColumn } from './catalog.ts';
import { type Decimals, formOf, isUnknown, lengthOf } from './column-forms.ts';

/** Why a filter never matches, and the value to use instead, if known. */
export interface Never {
  readonly why: string;
  readonly instead?: Scalar;
}

const WHOLE = new Set(['int2', 'int4', 'int8', 'oid']);
/** Types whose values Postgres reads in several spellings but writes in one canonical form. */
const NORMALIZED =
  /^(uuid|inet|cidr|macaddr|macaddr8|jsonb|bpchar|varchar|name|int4range|int8range|numrange|daterange|ltree)$/;

/** Returns why a column's values never equal the value of a filter; null if they may. */
export async function neverEqual(
  inspector: Inspector,
  column: SourceColumn,
  wanted: Scalar,
  decimals: Decimals,
  isDecoded: boolean,
): Promise<Never | null> {
  const { type, base, labels } = column;
  const { json, name } = formOf(column, decimals, isDecoded);
  if (wanted === null) return null;
  if (column.isArray) return { why: `${type} arrives as an array` };
  if (json === 'object' && base !== 'numeric') return { why: `${type} arrives as an object` };
  if (isUnknown(column)) return isDecoded ? null : { why: `${type} arrives as base64 of its text` };
  if (labels !== null) {
    const isLabel = typeof wanted === 'string' && labels.includes(wanted);
    return isLabel ? null : { why: `${type} is one of ${labels.join(', ')}` };
  }
  if (base === 'numeric' || base === 'money') return ofDecimal(inspector, column, wanted, decimals);
  if (json === 'boolean') {
    if (typeof wanted === 'boolean') return null;
    const instead = { true: true, t: true, '1': true, false: false, f: false, '0': false }[
      String(wanted)
    ];
    return { why: `${type} is true or false`, ...(instead !== undefined && { instead }) };
  }
  if (json === 'number') return ofNumber(inspector, column, wanted, name);
  if (typeof wanted !== 'string') {
    const isPlain = base === 'text' || base === 'varchar';
    return { why: `${type} arrives as text`, ...(isPlain && { instead: String(wanted) }) };
  }
  return ofText(inspector, column, wanted, name, isDecoded);
}

async function ofDecimal(
  inspector: Inspector,
  { type, base, baseType }: SourceColumn,
  wanted: Scalar,
  decimals: Decimals,
): Promise<Never | null> {
  if (decimals === 'double') {
    return typeof wanted === 'number' ? null : { why: `${type} arrives as a number` };
  }
  const written = await canonical(
    inspector,
    base === 'money' ? '$1::text::money::numeric' : `$1::text::${baseType}`,
    String(wanted),
  );
  if (decimals === 'string') {
    if (written === null) return { why: `${JSON.stringify(wanted)} is not a value of ${type}` };
    const why = `${type} arrives as text with all of its decimal places`;
    return written === wanted ? null : { why, instead: written };
  }
  // a value that is not a number may be the base64
  return written === null
    ? null
    : {
        why: `${type} arrives as base64, unless decimal.handling.mode of the connector is string`,
        instead: written,
      };
}

async function ofNumber(
  inspector: Inspector,
  { type, base, typmod }: SourceColumn,
  wanted: Scalar,
  form: string,
): Promise<Never | null> {
  const isTime = !['plain', 'microseconds'].includes(form);
  if (typeof wanted === 'number') {
    const isPart = (WHOLE.has(base) || form !== 'plain') && !Number.isInteger(wanted);
    return isPart ? { why: `${type} arrives as a whole number` } : null;
  }
  const why = `${type} arrives as ${form === 'plain' ? 'a number' : form}`;
  if (typeof wanted !== 'string') return { why };
  // beyond 2^53 only text identifies the number exactly
  if (base === 'int8' && /^-?\d+$/.test(wanted) && !Number.isSafeInteger(Number(wanted))) {
    return null;
  }
  if (/^(float4|float8)$/.test(base) && /^(NaN|-?Infinity)$/.test(wanted)) return null;
  const unit = typmod >= 0 && typmod <= 3 ? '1e3' : '1e6';
  const number = await canonical(
    inspector,
    !isTime
      ? `$1::text::${base === 'interval' ? 'float8' : base}`
      : base === 'date'
        ? `$1::text::date - date '1970-01-01'`
        : `(extract(epoch from $1::text::${base}) * ${unit})::bigint`,
    wanted,
  );
  return { why, ...(number !== null && { instead: Number(number) }) };
}

async function ofText(
  inspector: Inspector,
  column: SourceColumn,
  wanted: string,
  form: string,
  isDecoded: boolean,
): Promise<Never | null> {
  const { type, base, baseType } = column;
  const differs = (instead: string | null, why = `${type} arrives as ${form}`) =>
    instead === wanted
      ? null
      : instead === null
        ? { why: `${JSON.stringify(wanted)} is not a value of ${type}` }
        : { why, instead };
  if (isDecoded) return null;
  switch (base) {
    case 'bytea': {
      const isBase64 = Buffer.from(wanted, 'base64').toString('base64') === wanted;
      return isBase64 ? null : differs(Buffer.from(wanted).toString('base64'));
    }
    case 'bit':
    case 'varbit':
      return /^[01]+$/.test(wanted) ? differs(base64OfBits(wanted)) : null;
    case 'timestamptz': {
      const places = /to (\d)/.exec(form)?.[1] ?? '6';
      const utc = `to_char($1::text::${baseType} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.FF${places}"Z"')`;
      return differs(
        await canonical(inspector, places === '0' ? utc.replace('.FF0', '') : utc, wanted),
      );
    }
    case 'timetz':
      return /^\d\d:\d\d:\d\d(\.\d+)?Z$/.test(wanted)
        ? null
        : { why: `${type} arrives in UTC, as 08:00:00Z` };
    default:
      if (!NORMALIZED.test(base)) return null;
  }
  const most = base === 'name' ? 63 : lengthOf(column);
  if (/^(bpchar|varchar|name)$/.test(base) && most > 0 && charactersOf(wanted.trimEnd()) > most) {
    return { why: `${type} holds at most ${most} characters` };
  }
  const written = await canonical(inspector, `$1::text::${baseType}`, wanted);
  const isPadded = form.startsWith('padded');
  return differs(
    written,
    isPadded ? `${type} arrives ${form}` : `${type} arrives in its canonical form`,
  );
}

/** Returns the value as Postgres writes it; null if it is invalid. */
async function canonical(
  inspector: Inspector,
  expression: string,
  value: string,
): Promise<string | null> {
  try {
    const [row] = await inspector.query<{ written: string }>(
      `select format('%s', ${expression}) as written`,
      [value],
    );
    return row!.written;
  } catch (error) {
    if (sqlState(error)?.startsWith('22')) return null;
    throw error;
  }
}

/** Encodes bits as Debezium does: the last ones in the first byte. */
function base64OfBits(bits: string): string {
  const bytes: number[] = [];
  for (let end = bits.length; end > 0; end -= 8) {
    bytes.push(Number.parseInt(bits.slice(Math.max(0, end - 8), end), 2));
  }
  return Buffer.from(bytes).toString('base64');
}

/** Counts characters as Postgres does. */
function charactersOf(text: string): number {
  return Array.from(text).length;
}
