import { plural } from '../doctor/plural.ts';
import type { Database } from '../state/database/database.ts';
import {
  discardEvents,
  listUnsent,
  resendEvents,
  type EventFilter,
  type EventName,
  type UnsentEvent,
} from '../state/runs/outbox.ts';
import { keyText } from '../state/key-text.ts';
import { functionId, withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';
import { noteLimit, wholeNumber } from './number.ts';
import { requireKeyOrAll, WrongUse } from './wrong-use.ts';

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

/** Lists unsent outgoing events. */
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
  if (events.length === 0 && !options.json) process.stderr.write('all events have been sent\n');
  noteLimit(events.length, limit);
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
  print(events, options, 'due to be sent again');
}

/** Deletes refused events, or one that is still to be sent. */
export async function discard(fn: string, key: string | undefined, options: EventOptions) {
  const events = await change(fn, key, options, discardEvents);
  print(events, options, 'discarded');
}

async function change(
  fn: string,
  key: string | undefined,
  { event, all = false }: EventOptions,
  act: (database: Database, filter: EventFilter) => Promise<EventName[]>,
): Promise<EventName[]> {
  requireKeyOrAll(key, all);
  if (all && event !== undefined) {
    throw new WrongUse(
      '--event selects one event of a set: specify the key of the set instead of --all',
    );
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
  throw new Error(`${what} of ${fn} ${key} was refused; see: muster events ${fn}`);
}

function print(events: readonly EventName[], { json }: JsonOption, outcome: string): void {
  for (const event of events) {
    const line = json === true ? JSON.stringify(event) : `${event.eventId}\t${event.type}`;
    process.stdout.write(`${line}\n`);
  }
  if (json === true) return;
  process.stdout.write(`${plural(events.length, 'event')} ${outcome}\n`);
}
