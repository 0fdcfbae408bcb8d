import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { failpoint } from '../lib/failpoint.ts';
import { waitAfter, type Backoff } from '../lib/retry.ts';
import { withTimeout } from '../lib/timeout.ts';
import type { Database } from '../state/database/database.ts';
import {
  claimOutbox,
  recordDeliveries,
  type Delivery,
  type DueEvent,
} from '../state/runs/outbox.ts';
import { contextOf, endFailed, sendSpan } from '../telemetry/spans.ts';
import { toTraceparent } from '../telemetry/trace.ts';
import type { SendResult, Sink, SinkEvent } from './sink.ts';

/** Size of the sliding window: events in flight that the sink may still answer quickly. */
const WINDOW = 64;
/** Time after which an unanswered event leaves the window, so that other events can be sent. */
const SLOW_MS = 1_000;
/** Maximum number of slow events per type and function; a broker may route a type to a receiver that hangs. */
const MAX_SLOW_OF_TYPE = 256;
/** Maximum number of events in flight, each with a connection: four types can hang before others are delayed. */
const MAX_IN_FLIGHT = 4 * MAX_SLOW_OF_TYPE;
/** Length of the data in flight, in UTF-16 units, beyond which no more events are claimed. */
const MAX_LENGTH = 32 * 1024 * 1024;
/** Delay of an event whose type has too many slow events: about the timeout of those. */
const POSTPONED_MS = 30_000;
/** Duration of a claim. It exceeds the sink's timeout, so that no other process sends the event at the same time. */
const CLAIM_SECONDS = 60;
/** The number of attempts is unlimited: a sink that is down delays events but never loses one. */
const BACKOFF: Backoff = { attempts: Infinity, firstMs: 1_000, maxMs: 60_000 };
/** Grace period at shutdown for a sink that ignores its signal. */
const IGNORED_SIGNAL_MS = 1_000;

export interface OutboxRelayOptions {
  readonly database: Database;
  readonly served: readonly RegisteredFunction[];
  readonly sink: Sink;
  /** Id under which this process holds leases. */
  readonly worker: () => string;
  readonly onDelivery: (delivery: Delivery, event: DueEvent) => void;
  /** Called when an event was answered or became slow: there is an outcome to record, or room for another event. */
  readonly onProgress: () => void;
  /** Time after which an event in flight is slow; {@link SLOW_MS} by default. */
  readonly slowMs?: number;
}

/** An event between its claim and the commit of its outcome. */
interface InFlight {
  readonly event: DueEvent;
  /** `window`: sent, not answered yet; `slow`: not answered within {@link SLOW_MS}; `answered`: to be recorded. */
  state: 'window' | 'slow' | 'answered';
}

/**
 * OutboxRelay sends the events of the outbox, in order per set, at least once and always with the same id. Events
 * are sent in a sliding window: the outcome of each is recorded once it is answered, and its place is free for the
 * next, so that an event that hangs does not delay others.
 */
export class OutboxRelay {
  readonly #options: OutboxRelayOptions;
  readonly #names: ReadonlyMap<number, string>;
  readonly #shutdown = new AbortController();
  readonly #inFlight = new Map<string, InFlight>();
  readonly #sends = new Set<Promise<void>>();
  /** Outcomes that are not recorded yet. */
  #unrecorded: Delivery[] = [];

  constructor(options: OutboxRelayOptions) {
    this.#options = options;
    this.#names = new Map(options.served.map((each) => [each.id, each.specification.name]));
  }

  /** Records outcomes and sends due events, without waiting for answers; returns true if there may be more. */
  async publish(): Promise<boolean> {
    const { database, worker } = this.#options;
    await this.#record();
    const room = this.#room();
    if (room === 0) return false;
    const ids = [...this.#names.keys()];
    const due = await claimOutbox(database, ids, worker(), room, CLAIM_SECONDS);
    if (due.length === 0) return false;
    failpoint('before-publish');
    for (const event of due) this.#start(event);
    return this.#unrecorded.length > 0 || due.length === room;
  }

  /** Waits `graceMs` for answers; unanswered events are sent again by another process. */
  async drain(graceMs: number): Promise<void> {
    const abort = setTimeout(() => this.#shutdown.abort(new Error('the process stops')), graceMs);
    await withTimeout(Promise.all(this.#sends), graceMs + IGNORED_SIGNAL_MS);
    clearTimeout(abort);
    await this.#record();
  }

  async #record(): Promise<void> {
    const deliveries = this.#unrecorded;
    if (deliveries.length === 0) return;
    this.#unrecorded = [];
    try {
      await recordDeliveries(this.#options.database, deliveries);
    } catch (error) {
      this.#unrecorded = [...deliveries, ...this.#unrecorded];
      throw error;
    }
    for (const { id } of deliveries) this.#inFlight.delete(id);
  }

  /** Number of events that may be claimed. */
  #room(): number {
    let inWindow = 0;
    let unanswered = 0;
    let length = 0;
    for (const { state, event } of this.#inFlight.values()) {
      if (state === 'answered') continue;
      unanswered++;
      if (state === 'window') inWindow++;
      length += event.data?.length ?? 0;
    }
    return length > MAX_LENGTH ? 0 : Math.min(WINDOW - inWindow, MAX_IN_FLIGHT - unanswered);
  }

  #start(event: DueEvent): void {
    // the claim expired while the event was in flight, and it was claimed again: it is not sent twice
    if (this.#inFlight.has(event.id)) return;
    if (this.#isCrowded(event)) {
      const waitMs = POSTPONED_MS * (0.5 + Math.random());
      const delivery = { id: event.id, kind: 'postponed', waitMs } as const;
      this.#unrecorded.push(delivery);
      this.#options.onDelivery(delivery, event);
      return;
    }
    const started: InFlight = { event, state: 'window' };
    this.#inFlight.set(event.id, started);
    const send = this.#track(started).finally(() => this.#sends.delete(send));
    this.#sends.add(send);
  }

  #isCrowded({ function: fn, type }: DueEvent): boolean {
    let same = 0;
    for (const { state, event } of this.#inFlight.values()) {
      if (state === 'slow' && event.function === fn && event.type === type) same++;
    }
    return same >= MAX_SLOW_OF_TYPE;
  }

  async #track(started: InFlight): Promise<void> {
    const { onDelivery, onProgress, slowMs = SLOW_MS } = this.#options;
    const slow = setTimeout(() => {
      started.state = 'slow';
      onProgress();
    }, slowMs);
    const delivery = await this.#deliver(started.event);
    clearTimeout(slow);
    started.state = 'answered';
    this.#unrecorded.push(delivery);
    onDelivery(delivery, started.event);
    onProgress();
  }

  async #deliver(event: DueEvent): Promise<Delivery> {
    const { id, trace } = event;
    const source = `/muster/${this.#names.get(event.function)}`;
    const { sink } = this.#options;
    const span = sendSpan(event, source, sink.attributes);
    const context = contextOf(span);
    const result = await this.#send({
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
    const status = { 'http.response.status_code': result.status };
    if (result.kind === 'sent') {
      span?.setAttributes(status).end();
      return { id, kind: 'sent' };
    }
    endFailed(span, String(result.status ?? result.kind), status);
    const { kind, error } = result;
    return kind === 'refused'
      ? { id, kind: 'failed', error }
      : { id, kind, error, waitMs: waitAfter(event.attempts, BACKOFF)! };
  }

  async #send(event: SinkEvent): Promise<SendResult> {
    try {
      return await this.#options.sink.send(event, this.#shutdown.signal);
    } catch (error) {
      // its type or subject is not valid in a CloudEvent, so no retry can help
      return { kind: 'refused', error: String(error) };
    }
  }
}
