import { checkEvent } from '../definitions/check-definition.ts';
import { type OutgoingEvent, TerminalError } from '../function.ts';
import { errorText } from '../lib/error-text.ts';
import type { Lease } from '../state/lease.ts';
import type { OutboxEvent } from '../state/runs/runs.ts';
import { runIdOf } from './run-id.ts';

/**
 * Converts a handler's return value into rows of the outbox. Throws a {@link TerminalError} for an invalid value,
 * because the handler would return the same in the next attempt. An unknown property is an error rather than
 * being dropped.
 */
export function toOutboxEvents(fn: string, lease: Lease, returned: unknown): OutboxEvent[] {
  if (returned === undefined || returned === null) return [];
  if (!Array.isArray(returned)) {
    throw new TerminalError(
      `the handler of ${fn} returned ${typeof returned === 'object' ? 'an object' : `a ${typeof returned}`}: return an array of events, or nothing`,
    );
  }
  const problems: string[] = [];
  for (const [i, event] of (returned as unknown[]).entries()) {
    checkEvent(event, (problem) => problems.push(`event ${i}: ${problem}`));
  }
  if (problems.length > 0) {
    throw new TerminalError(`the handler of ${fn} returned invalid events: ${problems.join('; ')}`);
  }
  return (returned as OutgoingEvent[]).map((event, i) => {
    return {
      eventId: `${runIdOf(fn, lease)}/${i}`,
      type: event.type,
      subject: event.subject ?? lease.key,
      data: toJson(event.data),
    };
  });
}

/** Writes a bigint, which rows contain for integers beyond 2^53, as an exact number. */
function toJson(data: unknown): string | null {
  let text: string | undefined;
  try {
    text = JSON.stringify(data, (_key, value: unknown) =>
      typeof value === 'bigint' ? JSON.rawJSON(String(value)) : value,
    );
  } catch (error) {
    throw new TerminalError(`data of an event is not JSON: ${errorText(error)}`);
  }
  return text ?? null;
}
