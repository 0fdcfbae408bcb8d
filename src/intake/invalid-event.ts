import type { ParkReason } from '../state/outcome.ts';

/** An event that should be a change but can't be read as one; it is parked with this reason. */
export class InvalidEvent extends Error {
  override readonly name = 'InvalidEvent';
  readonly reason: ParkReason;

  constructor(reason: ParkReason, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

/** An error for a field whose value is missing or of another kind. */
export function incomplete(name: string, value: unknown, expected: string): InvalidEvent {
  return new InvalidEvent('incomplete-change', `${name} is ${show(value)}: ${expected}`);
}

/** Formats a field's value for a message: at most a line, and nothing of an object's content. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return JSON.isRawJSON(value) ? value.rawJSON.slice(0, 60) : kindOf(value);
}

/** Returns the kind of a JSON value, with its article. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return 'a string';
  return typeof value === 'object' && !JSON.isRawJSON(value) ? 'an object' : 'a scalar';
}
