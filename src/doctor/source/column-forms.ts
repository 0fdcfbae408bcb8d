/**
 * How Debezium 3.7 sends a column (pgoutput, JsonConverter without schemas), which determines what keys and
 * filters see. test/stack/column-forms.test.ts compares this with what Debezium sends.
 */
import type { SourceColumn } from './catalog.ts';

/** `decimal.handling.mode` of the connector. */
export type Decimals = 'precise' | 'string' | 'double';

export interface Form {
  /** Kind of value after the message is parsed. */
  readonly json: 'text' | 'number' | 'boolean' | 'object';
  /** Human-readable; keys of two columns can be equal only if their forms have the same name. */
  readonly name: string;
}

const NUMBERS = new Set(['int2', 'int4', 'int8', 'oid', 'float4', 'float8']);
const OBJECTS = new Set(
  'point box line lseg circle path polygon geometry geography vector halfvec sparsevec'.split(' '),
);
/** Built-in types of PostgreSQL that Debezium has no converter for. */
const UNKNOWN = /^(tsquery|pg_lsn|xid|xid8|cid|tid|pg_snapshot|jsonpath|reg[a-z]+)$/;

/** Form of most columns: the value itself as a number, boolean or text. */
const PLAIN = 'plain';

const text = (name: string): Form => ({ json: 'text', name });
const number = (name: string): Form => ({ json: 'number', name });

/** Returns whether Debezium sends the type only with `include.unknown.datatypes`, as base64 of its text. */
export function isUnknown({ kind, base, isBuiltIn, isArray }: SourceColumn): boolean {
  if (isArray) return false;
  return (
    kind === 'm' ||
    kind === 'c' ||
    (kind === 'r' && !isBuiltIn) ||
    (isBuiltIn && UNKNOWN.test(base))
  );
}

/** Returns the form in which a column arrives. `isDecoded`: whether the part decodes it from base64. */
export function formOf(column: SourceColumn, decimals: Decimals, isDecoded = false): Form {
  const { base, kind, isCaseless } = column;
  if (column.isArray) return { json: 'object', name: 'array' };
  if (OBJECTS.has(base)) return { json: 'object', name: 'object' };
  const isRange = kind === 'r' || kind === 'm';
  if (isUnknown(column)) {
    return text(isDecoded ? (isRange ? 'range' : PLAIN) : 'base64 of its text');
  }
  if (isRange) return text('range');
  const decimalPlaces = Math.min(precisionOf(column), 6);
  switch (base) {
    case 'bool':
      return { json: 'boolean', name: PLAIN };
    case 'bit':
    case 'varbit':
      return column.typmod === 1 ? { json: 'boolean', name: PLAIN } : text('base64 of its bits');
    case 'numeric':
    case 'money':
      return decimalForm(column, decimals);
    case 'date':
      return number('days since 1970');
    case 'time':
      return number(decimalPlaces > 3 ? 'microseconds of the day' : 'milliseconds of the day');
    case 'timestamp':
      return number(decimalPlaces > 3 ? 'microseconds since 1970' : 'milliseconds since 1970');
    case 'timestamptz':
      return text(decimalPlaces === 6 ? 'ISO 8601' : `ISO 8601 to ${decimalPlaces} decimal places`);
    case 'timetz':
      return text('ISO 8601 time');
    case 'interval':
      return number('microseconds');
    case 'bytea':
      return text(isDecoded ? PLAIN : 'base64');
    case 'bpchar':
      return text(lengthOf(column) > 1 ? `padded to ${lengthOf(column)} characters` : PLAIN);
    default:
      if (NUMBERS.has(base)) return number(PLAIN);
      return text(isCaseless ? 'case-sensitive text' : PLAIN);
  }
}

function decimalForm(column: SourceColumn, decimals: Decimals): Form {
  const scale = scaleOf(column);
  if (decimals === 'double') return number(PLAIN);
  if (scale === null) {
    return decimals === 'string'
      ? text('decimal places as written')
      : { json: 'object', name: 'scale and base64' };
  }
  if (decimals === 'precise') return text(`base64 of a number with ${scale} decimal places`);
  return text(scale === 0 ? PLAIN : `${scale} decimal places`);
}

/** Returns the number of decimal places of the seconds. */
function precisionOf({ typmod }: SourceColumn): number {
  return typmod < 0 ? 6 : typmod;
}

/** Returns the maximum number of characters; -1 if unlimited. */
export function lengthOf({ typmod }: SourceColumn): number {
  return typmod < 4 ? -1 : typmod - 4;
}

/** Returns the number of decimal places of a numeric type; null if each value has its own. */
function scaleOf({ base, typmod }: SourceColumn): number | null {
  if (base === 'money') return 2;
  if (typmod < 4) return null;
  return (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
}

/** Returns a change that gives the column a common form without changing any value's meaning, or null. */
export function simpler(
  table: string,
  quoted: string,
  column: SourceColumn,
  decimals: Decimals,
): { readonly remedy: string; readonly form: string } | null {
  const alter = (type: string, form: string) => ({
    remedy: `alter table ${table} alter column ${quoted} type ${type};`,
    form,
  });
  const isFine = column.typmod < 0 || column.typmod > 3;
  switch (column.base) {
    case 'bpchar':
      return lengthOf(column) > 1 ? alter(`character varying(${lengthOf(column)})`, PLAIN) : null;
    case 'time':
      return isFine ? null : alter('time(6)', 'microseconds of the day');
    case 'timestamp':
      return isFine ? null : alter('timestamp(6)', 'microseconds since 1970');
    case 'timestamptz':
      return column.typmod < 0 || column.typmod === 6 ? null : alter('timestamptz', 'ISO 8601');
    case 'numeric':
      return decimals === 'precise' && scaleOf(column) === 0
        ? { remedy: 'decimal.handling.mode=string for the connector;', form: PLAIN }
        : null;
    default:
      return null;
  }
}
