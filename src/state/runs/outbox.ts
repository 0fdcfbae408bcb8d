import type { SpanContext } from '@opentelemetry/api';
import { fromHex } from '../../telemetry/trace.ts';
import type { Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const CLAIM_OUTBOX = sql('claim-outbox');
const SETTLE_OUTBOX = sql('settle-outbox');
const RESEND_EVENTS = sql('resend-events');
const DISCARD_EVENTS = sql('discard-events');

/** An event that is due to be sent. */
export interface DueEvent {
  readonly id: string;
  readonly function: number;
  readonly key: string;
  readonly eventId: string;
  readonly type: string;
  readonly subject: string;
  /** JSON text */
  readonly data: string | null;
  /** This attempt included. */
  readonly attempts: number;
  readonly createdAt: Date;
  /** Of the run that made it, if that was sampled. */
  readonly trace: SpanContext | null;
}

/** What became of an attempt to send an event. */
export type Settlement = { readonly id: string } & (
  | { readonly kind: 'sent' }
  | { readonly kind: 'failed'; readonly error: string }
  /** Tried again; `blocked`: though an operator has to change something first. */
  | { readonly kind: 'again' | 'blocked'; readonly error: string; readonly waitMs: number }
  /** Not tried: it was no attempt. */
  | { readonly kind: 'postponed'; readonly waitMs: number }
);

/**
 * Takes events to send, of each set the lowest unsent one. Other pods may take them after `seconds`, or
 * once this one is dead.
 */
export async function claimOutbox(
  database: Database,
  functions: readonly number[],
  worker: string,
  limit: number,
  seconds: number,
): Promise<DueEvent[]> {
  for (;;) {
    const { rows } = await database.control.query<
      Omit<DueEvent, 'trace'> & { lookedAt: number; trace: string | null }
    >({
      ...CLAIM_OUTBOX,
      values: [functions, limit, seconds, worker],
    });
    // without an event there is one row, that says how many were looked at and put off
    const due = rows.filter((row) => row.id !== null);
    if (due.length > 0 || rows[0]!.lookedAt === 0) {
      return due.map((row) => ({ ...row, trace: row.trace === null ? null : fromHex(row.trace) }));
    }
  }
}

export async function settleOutbox(
  database: Database,
  settlements: readonly Settlement[],
): Promise<void> {
  await database.control.query({
    ...SETTLE_OUTBOX,
    values: [
      settlements.map((each) => each.id),
      settlements.map((each) => each.kind),
      settlements.map((each) => ('waitMs' in each ? each.waitMs : 0)),
      settlements.map((each) => ('error' in each ? each.error : null)),
    ],
  });
}

/**
 * Records for `seconds` that processes of these functions have no sink, so that their events are not due
 * meanwhile (`muster.due`); null: they have one.
 */
export async function setSinkMissing(
  database: Database,
  functions: readonly number[],
  seconds: number | null,
): Promise<void> {
  await database.control.query(
    `update muster.function set sink_missing_until = now() + make_interval(secs => $2::float8)
     where id = any ($1::int[]) and not (sink_missing_until is null and $2::float8 is null)`,
    [functions, seconds],
  );
}

/** Which outgoing events of a function; without a key those of every set. */
export interface EventFilter {
  readonly function: number;
  readonly key: string | null;
  readonly eventId: string | null;
}

export interface EventName {
  readonly eventId: string;
  readonly type: string;
}

/** Makes events that the sink refused for good due again; gives back which. */
export async function resendEvents(database: Database, filter: EventFilter): Promise<EventName[]> {
  const values = [filter.function, filter.key, filter.eventId];
  return (await database.control.query<EventName>({ ...RESEND_EVENTS, values })).rows;
}

/**
 * Gives up events that the sink refused, and one that still waits where both key and id are given; gives
 * back which.
 */
export async function discardEvents(database: Database, filter: EventFilter): Promise<EventName[]> {
  const values = [filter.function, filter.key, filter.eventId];
  return (await database.control.query<EventName>({ ...DISCARD_EVENTS, values })).rows;
}

/** An outgoing event that is not sent. */
export interface UnsentEvent extends EventName {
  readonly function: string;
  readonly key: string;
  readonly state: 'refused' | 'waiting';
  readonly createdAt: Date;
  readonly attempts: number;
  readonly error: string | null;
}

/** Events that are not sent, oldest first: those that the sink refused, then those that wait. */
export async function listUnsent(
  database: Database,
  filter: { readonly function: number | null; readonly state: UnsentEvent['state'] | null },
  limit: number,
): Promise<UnsentEvent[]> {
  const { rows } = await database.control.query<UnsentEvent>(
    `select f.name as function, o.key, o.event_id as "eventId", o.type, o.state, o.created_at as "createdAt",
            o.attempts, o.error
     from muster.function f, lateral (
       (select 'refused' as state, * from muster.outbox o
        where $2::text is distinct from 'waiting' and o.function = f.id and o.failed_at is not null
        order by o.id limit $3)
       union all
       (select 'waiting' as state, * from muster.outbox o
        where $2::text is distinct from 'refused' and o.function = f.id and o.sent_at is null and o.failed_at is null
        order by o.id limit $3)
     ) o
     where $1::int is null or f.id = $1
     order by o.state, o.id limit $3`,
    [filter.function, filter.state, limit],
  );
  return rows;
}
