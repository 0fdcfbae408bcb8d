/**
 * How Debezium 3.7 sends a column (pgoutput, JsonConverter without schemas): what keys and filters have to
 * do with. test/stack/forms.test.ts holds it against what Debezium sends.
 */
import type { SourceColumn } from './catalog.ts';

/** `decimal.handling.mode` of the connector. */
export type Decimals = 'precise' | 'string' | 'double';

export interface Form {
  /** What a value is once the message is parsed. */
  readonly json: 'text' | 'number' | 'boolean' | 'object';
  /** In words; keys of two columns meet only if it is the same. */
  readonly name: string;
}

const NUMBERS = new Set(['int2', 'int4', 'int8', 'oid', 'float4', 'float8']);
const OBJECTS = new Set(
  'point box line lseg circle path polygon geometry geography vector halfvec sparsevec'.split(' '),
);
/** Types of PostgreSQL's own that Debezium has no converter for. */
const UNKNOWN = /^(tsquery|pg_lsn|xid|xid8|cid|tid|pg_snapshot|jsonpath|reg[a-z]+)$/;

/** The form of most columns: as text, the number, boolean or text that it is. */
const PLAIN = 'plain';

const text = (name: string): Form => ({ json: 'text', name });
const number = (name: string): Form => ({ json: 'number', name });

/** Does Debezium know the type only with `include.unknown.datatypes`, and send base64 of its text? */
export function isUnknown({ kind, base, isBuiltIn, isArray }: SourceColumn): boolean {
  if (isArray) return false;
  return (
    kind === 'm' ||
    kind === 'c' ||
    (kind === 'r' && !isBuiltIn) ||
    (isBuiltIn && UNKNOWN.test(base))
  );
}

/** `isDecoded`: does the part turn base64 of it into text? */
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
      return text(isCaseless ? 'text whose case matters here' : PLAIN);
  }
}

function decimalForm(column: SourceColumn, decimals: Decimals): Form {
  const scale = scaleOf(column);
  if (decimals === 'double') return number(PLAIN);
  if (scale === null) {
    return decimals === 'string'
      ? text('decimal places as they were written')
      : { json: 'object', name: 'scale and base64' };
  }
  if (decimals === 'precise') return text(`base64 of a number with ${scale} decimal places`);
  return text(scale === 0 ? PLAIN : `${scale} decimal places`);
}

/** Decimal places of seconds. */
function precisionOf({ typmod }: SourceColumn): number {
  return typmod < 0 ? 6 : typmod;
}

/** Characters that a column may hold; -1 is no bound. */
export function lengthOf({ typmod }: SourceColumn): number {
  return typmod < 4 ? -1 : typmod - 4;
}

/** Decimal places of a numeric; null where each value has its own. */
function scaleOf({ base, typmod }: SourceColumn): number | null {
  if (base === 'money') return 2;
  if (typmod < 4) return null;
  return (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
}

/** What gives the column a form that others have, and no value of it another meaning; null if nothing does. */
export function simpler(
  table: string,
  quoted: string,
  column: SourceColumn,
  decimals: Decimals,
): { readonly mend: string; readonly form: string } | null {
  const alter = (type: string, form: string) => ({
    mend: `alter table ${table} alter column ${quoted} type ${type};`,
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
        ? { mend: 'decimal.handling.mode=string for the connector;', form: PLAIN }
        : null;
    default:
      return null;
  }
}
