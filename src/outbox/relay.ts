import type { Delivery, Outgoing, Sink } from './http-sink.ts';
import type { Database } from '../state/database/database.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { claimOutbox, settleOutbox, type DueEvent, type Settlement } from '../state/runs/outbox.ts';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../lib/failpoint.ts';
import { contextOf, endFailed, sendSpan } from '../telemetry/spans.ts';
import { toTraceparent } from '../telemetry/trace.ts';
import { waitAfter, type Backoff } from '../lib/retry.ts';

/** Events in flight that the sink may still answer quickly. */
const WINDOW = 64;
/** An event that is not answered by then no longer takes a place in the window: others go out past it. */
const SLOW_MS = 1_000;
/** Maximum of slow events of one type of one function, which a broker may route to a destination that hangs. */
const MAX_SLOW_OF_TYPE = 256;
/** Maximum in flight altogether, a connection each: four types may hang before the others wait for a time-out. */
const MAX_IN_FLIGHT = 4 * MAX_SLOW_OF_TYPE;
/** Nothing more is claimed while so much data is in flight, in UTF-16 units. */
const MAX_LENGTH = 32 * 1024 * 1024;
/** When an event is due again whose type has too many that are slow: around the time-out of those. */
const POSTPONED_MS = 30_000;
/** Longer than the sink's time-out: nobody else sends an event while this process may. */
const TAKEN_SECONDS = 60;
/** A sink that is down delays and never loses: there is no last attempt. */
const BACKOFF: Backoff = { attempts: Infinity, firstMs: 1_000, maxMs: 60_000 };
/** A sink that does not heed the signal to give up is waited for this long. */
const DEAF_MS = 1_000;

export interface OutboxRelayOptions {
  readonly database: Database;
  readonly served: readonly RegisteredFunction[];
  readonly sink: Sink;
  /** The name under which this process holds leases. */
  readonly worker: () => string;
  readonly onSettled: (settlement: Settlement, event: DueEvent) => void;
  /** An event was answered, or proved slow: there is something to settle, or room for another. */
  readonly onProgress: () => void;
  /** When an event in flight is slow; {@link SLOW_MS} unless given. */
  readonly slowMs?: number;
}

/** An event between its claim and the commit of what became of it. */
interface InFlight {
  readonly event: DueEvent;
  /** `window`: sent, not answered yet; `slow`: for longer than {@link SLOW_MS}; `answered`: to be settled. */
  state: 'window' | 'slow' | 'answered';
}

/**
 * Sends what the outbox holds, in order per set, at least once and always under the same id. Events go out
 * in a sliding window: each is settled once it is answered, and its place is free for the next, so that
 * one which hangs holds up no other.
 */
export class OutboxRelay {
  readonly #options: OutboxRelayOptions;
  readonly #names: ReadonlyMap<number, string>;
  readonly #hurry = new AbortController();
  readonly #taken = new Map<string, InFlight>();
  readonly #sends = new Set<Promise<void>>();
  /** What became of events, as far as the database could not be told yet. */
  #unsettled: Settlement[] = [];

  constructor(options: OutboxRelayOptions) {
    this.#options = options;
    this.#names = new Map(options.served.map((each) => [each.id, each.specification.name]));
  }

  /** Settles what was answered and sends what is due, without waiting for answers; true if there may be more. */
  async publish(): Promise<boolean> {
    const { database, worker } = this.#options;
    await this.#settle();
    const room = this.#room();
    if (room === 0) return false;
    const ids = [...this.#names.keys()];
    const due = await claimOutbox(database, ids, worker(), room, TAKEN_SECONDS);
    if (due.length === 0) return false;
    failpoint('before-publish');
    for (const event of due) this.#take(event);
    return this.#unsettled.length > 0 || due.length === room;
  }

  /** Waits for answers for `graceMs`, then no longer: whoever is up tries those events again. */
  async drain(graceMs: number): Promise<void> {
    const hurrying = setTimeout(() => this.#hurry.abort(new Error('the process stops')), graceMs);
    const deaf = sleep(graceMs + DEAF_MS, undefined, { ref: false });
    await Promise.race([Promise.all(this.#sends), deaf]);
    clearTimeout(hurrying);
    await this.#settle();
  }

  async #settle(): Promise<void> {
    const settlements = this.#unsettled;
    if (settlements.length === 0) return;
    this.#unsettled = [];
    try {
      await settleOutbox(this.#options.database, settlements);
    } catch (error) {
      this.#unsettled = [...settlements, ...this.#unsettled];
      throw error;
    }
    for (const { id } of settlements) this.#taken.delete(id);
  }

  /** How many more may be claimed. */
  #room(): number {
    let fresh = 0;
    let unanswered = 0;
    let length = 0;
    for (const { state, event } of this.#taken.values()) {
      if (state === 'answered') continue;
      unanswered++;
      if (state === 'window') fresh++;
      length += event.data?.length ?? 0;
    }
    return length > MAX_LENGTH ? 0 : Math.min(WINDOW - fresh, MAX_IN_FLIGHT - unanswered);
  }

  #take(event: DueEvent): void {
    // claimed again because its lease ran out while it was in flight: one send of this process is enough
    if (this.#taken.has(event.id)) return;
    if (this.#isCrowded(event)) {
      const waitMs = POSTPONED_MS * (0.5 + Math.random());
      const settlement = { id: event.id, kind: 'postponed', waitMs } as const;
      this.#unsettled.push(settlement);
      this.#options.onSettled(settlement, event);
      return;
    }
    const taken: InFlight = { event, state: 'window' };
    this.#taken.set(event.id, taken);
    const send = this.#track(taken).finally(() => this.#sends.delete(send));
    this.#sends.add(send);
  }

  #isCrowded({ function: fn, type }: DueEvent): boolean {
    let same = 0;
    for (const { state, event } of this.#taken.values()) {
      if (state === 'slow' && event.function === fn && event.type === type) same++;
    }
    return same >= MAX_SLOW_OF_TYPE;
  }

  async #track(taken: InFlight): Promise<void> {
    const { onSettled, onProgress, slowMs = SLOW_MS } = this.#options;
    const slow = setTimeout(() => {
      taken.state = 'slow';
      onProgress();
    }, slowMs);
    const settlement = await this.#send(taken.event);
    clearTimeout(slow);
    taken.state = 'answered';
    this.#unsettled.push(settlement);
    onSettled(settlement, taken.event);
    onProgress();
  }

  async #send(event: DueEvent): Promise<Settlement> {
    const { id, trace } = event;
    const source = `/muster/${this.#names.get(event.function)}`;
    const { sink } = this.#options;
    const span = sendSpan(event, source, sink.attributes);
    const context = contextOf(span);
    const delivery = await this.#deliver({
      id: event.eventId,
      key: event.key,
      source,
      type: event.type,
      subject: event.subject,
      time: event.createdAt,
      data: event.data,
      traceparent: trace === null ? null : toTraceparent(trace),
      hop: context === null ? null : toTraceparent(context),
    });
    const status = { 'http.response.status_code': delivery.status };
    if (delivery.kind === 'sent') {
      span?.setAttributes(status).end();
      return { id, kind: 'sent' };
    }
    endFailed(span, String(delivery.status ?? delivery.kind), status);
    const { kind, error } = delivery;
    return kind === 'refused'
      ? { id, kind: 'failed', error }
      : { id, kind, error, waitMs: waitAfter(event.attempts, BACKOFF)! };
  }

  async #deliver(outgoing: Outgoing): Promise<Delivery> {
    try {
      return await this.#options.sink.send(outgoing, this.#hurry.signal);
    } catch (error) {
      // an event that can't be written as a CloudEvent (its type or subject): no retry can mend it
      return { kind: 'refused', error: String(error) };
    }
  }
}
