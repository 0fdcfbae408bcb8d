import type { ParkReason } from '../state/outcome.ts';

/** An event that claims to be a change and can't be read as one: it is parked with this reason. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent';
  readonly reason: ParkReason;

  constructor(reason: ParkReason, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** A field's value for the eyes of people: never more than a line, nothing of what an object holds. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return JSON.isRawJSON(value) ? value.rawJSON.slice(0, 60) : kindOf(value);
}

/** What kind of JSON value this is, with its article. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return 'a text';
  return typeof value === 'object' && !JSON.isRawJSON(value) ? 'an object' : 'a scalar';
}
