import { plural } from '../doctor/words.ts';
import type { Database } from '../state/database/database.ts';
import {
  discardEvents,
  listUnsent,
  resendEvents,
  type EventFilter,
  type EventName,
  type UnsentEvent,
} from '../state/runs/outbox.ts';
import { functionId, keyText, withDatabase } from './database.ts';
import type { JsonOption } from './json-option.ts';
import { sayLimit, wholeNumber } from './number.ts';
import { WrongUse } from './wrong-use.ts';

/** Which events to send again or to discard. */
export interface EventOptions extends JsonOption {
  readonly event?: string;
  readonly all?: boolean;
}

export interface UnsentOptions extends JsonOption {
  readonly refused?: boolean;
  readonly waiting?: boolean;
  readonly limit: string;
}

/** Lists outgoing events that are not sent. */
export async function list(fn: string | undefined, options: UnsentOptions): Promise<void> {
  const limit = wholeNumber('--limit', options.limit);
  const state = options.refused ? 'refused' : options.waiting ? 'waiting' : null;
  const events = await withDatabase(async (database) => {
    const id = fn === undefined ? null : await functionId(database, fn);
    return listUnsent(database, { function: id, state }, limit);
  });
  for (const event of events) {
    process.stdout.write(`${options.json ? JSON.stringify(event) : toLine(event)}\n`);
  }
  if (events.length === 0 && !options.json) process.stderr.write('every event is sent\n');
  sayLimit(events.length, limit);
}

function toLine(event: UnsentEvent): string {
  const { eventId, type, state, createdAt, attempts, error } = event;
  return [eventId, type, state, createdAt.toISOString(), plural(attempts, 'attempt'), error ?? '']
    .join('\t')
    .trimEnd();
}

/** Makes refused events due again. */
export async function resend(fn: string, key: string | undefined, options: EventOptions) {
  const events = await change(fn, key, options, resendEvents);
  say(events, options, 'is due to be sent again', 'are due to be sent again');
}

/** Deletes refused events, or one that waits. */
export async function discard(fn: string, key: string | undefined, options: EventOptions) {
  const events = await change(fn, key, options, discardEvents);
  say(events, options, 'is discarded', 'are discarded');
}

async function change(
  fn: string,
  key: string | undefined,
  { event, all = false }: EventOptions,
  act: (database: Database, filter: EventFilter) => Promise<EventName[]>,
): Promise<EventName[]> {
  if ((key === undefined) !== all) throw new WrongUse('name the key of a set, or say --all');
  if (all && event !== undefined) {
    throw new WrongUse('--event is one event of a set: name the key of the set, and not --all');
  }
  const events = await withDatabase(async (database) =>
    act(database, {
      function: await functionId(database, fn),
      key: key === undefined ? null : keyText(key),
      eventId: event ?? null,
    }),
  );
  if (events.length > 0 || all) return events;
  const what = event === undefined ? 'no event' : `no event ${event}`;
  throw new Error(`${what} of ${fn} ${key} was refused: muster events ${fn} lists those not sent`);
}

function say(events: readonly EventName[], { json }: JsonOption, one: string, many: string): void {
  for (const event of events) {
    const line = json === true ? JSON.stringify(event) : `${event.eventId}\t${event.type}`;
    process.stdout.write(`${line}\n`);
  }
  if (json === true) return;
  process.stdout.write(
    events.length === 1 ? `1 event ${one}\n` : `${events.length} events ${many}\n`,
  );
}
