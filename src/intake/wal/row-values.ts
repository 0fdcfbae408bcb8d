import { isRounded } from '../../lib/exact-json.ts';
import { UNAVAILABLE } from '../../state/change.ts';
import { toJson } from './column-values.ts';
import type { Column } from './source-table.ts';

/**
 * Converts PostgreSQL's text of a value to what intake reads from a message of Debezium, without the detour over the
 * text of that message.
 */
export function toValue(column: Column, text: string | null | undefined): unknown {
  if (text === undefined) return UNAVAILABLE;
  return parsed(toJson(column, text));
}

/** Returns what JSON.parse would read; an integer that a double can't represent stays exact. */
function parsed(value: unknown): unknown {
  if (typeof value === 'number') return Number.isFinite(value) ? value : null;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(parsed);
  if (!JSON.isRawJSON(value)) return value;
  const number = Number(value.rawJSON);
  return isRounded(number) && /^-?\d+$/.test(value.rawJSON) ? value : number;
}
