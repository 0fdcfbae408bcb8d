import type { SpanContext } from '@opentelemetry/api';
import { fromHex } from '../../telemetry/trace.ts';
import type { Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const CLAIM_OUTBOX = sql('claim-outbox');
const RECORD_DELIVERIES = sql('record-deliveries');
const RESEND_EVENTS = sql('resend-events');
const DISCARD_EVENTS = sql('discard-events');

/** An event that is due. */
export interface DueEvent {
  readonly id: string;
  readonly function: number;
  readonly key: string;
  readonly eventId: string;
  readonly type: string;
  readonly subject: string;
  /** JSON text */
  readonly data: string | null;
  /** Including this attempt. */
  readonly attempts: number;
  readonly createdAt: Date;
  /** Trace context of the run that created it, if that was sampled. */
  readonly trace: SpanContext | null;
}

/** Outcome of an attempt to send an event, as it is recorded. */
export type Delivery = { readonly id: string } & (
  | { readonly kind: 'sent' }
  | { readonly kind: 'failed'; readonly error: string }
  /** To be retried; `blocked`: every retry fails until an operator changes something. */
  | { readonly kind: 'again' | 'blocked'; readonly error: string; readonly waitMs: number }
  /** Not sent, which does not count as an attempt. */
  | { readonly kind: 'postponed'; readonly waitMs: number }
);

/**
 * Claims events to send, of each set only the oldest unsent one. Other workers can claim them after `seconds`, or
 * once this one has been reaped.
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
    // if none was claimed, there is one row, with the number of events that were looked at and postponed
    const due = rows.filter((row) => row.id !== null);
    if (due.length > 0 || rows[0]!.lookedAt === 0) {
      return due.map((row) => ({ ...row, trace: row.trace === null ? null : fromHex(row.trace) }));
    }
  }
}

/** Records the outcomes of claimed events. */
export async function recordDeliveries(
  database: Database,
  deliveries: readonly Delivery[],
): Promise<void> {
  await database.control.query({
    ...RECORD_DELIVERIES,
    values: [
      deliveries.map((each) => each.id),
      deliveries.map((each) => each.kind),
      deliveries.map((each) => ('waitMs' in each ? each.waitMs : 0)),
      deliveries.map((each) => ('error' in each ? each.error : null)),
    ],
  });
}

/**
 * Records that processes of these functions have no sink, so that their events are not due for `seconds`
 * (`muster.due`); null records that they have one.
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

/** Selects outgoing events of a function; null matches every set or event. */
export interface EventFilter {
  readonly function: number;
  readonly key: string | null;
  readonly eventId: string | null;
}

export interface EventName {
  readonly eventId: string;
  readonly type: string;
}

/** Makes events that the sink refused due again; returns them. */
export async function resendEvents(database: Database, filter: EventFilter): Promise<EventName[]> {
  const values = [filter.function, filter.key, filter.eventId];
  return (await database.control.query<EventName>({ ...RESEND_EVENTS, values })).rows;
}

/**
 * Discards events that the sink refused, and also one that is still waiting if both key and id are given; returns
 * them.
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

/** Lists events that are not sent, oldest first: those that the sink refused, then those that wait. */
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
