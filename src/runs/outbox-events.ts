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
  requireArray(fn, returned, 'an array of events');
  const problems: string[] = [];
  for (const [i, event] of returned.entries()) {
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

/** The same for a handler of several sets, which returns a list of events for each of them. */
export function toBatchEvents(
  fn: string,
  leases: readonly Lease[],
  returned: unknown,
): OutboxEvent[][] {
  if (returned === undefined || returned === null) return leases.map(() => []);
  requireArray(fn, returned, 'an array with the events of each set');
  if (returned.length !== leases.length) {
    throw new TerminalError(
      `the handler of ${fn} returned ${returned.length} lists of events for ${leases.length} sets: return one for each, in their order, or nothing`,
    );
  }
  return leases.map((lease, i) => toOutboxEvents(fn, lease, returned[i]));
}

function requireArray(fn: string, returned: unknown, what: string): asserts returned is unknown[] {
  if (Array.isArray(returned)) return;
  throw new TerminalError(
    `the handler of ${fn} returned ${typeof returned === 'object' ? 'an object' : `a ${typeof returned}`}: return ${what}, or nothing`,
  );
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
