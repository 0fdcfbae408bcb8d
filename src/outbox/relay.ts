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
/** An event that is not answered by then leaves the window, so that others go out past it. */
const SLOW_MS = 1_000;
/** Maximum of slow events of one type of one function, which a broker may route to a receiver that hangs. */
const MAX_SLOW_OF_TYPE = 256;
/** Maximum in flight altogether, a connection each: four types may hang before the others wait for a timeout. */
const MAX_IN_FLIGHT = 4 * MAX_SLOW_OF_TYPE;
/** Nothing more is claimed while more data than this is in flight, in UTF-16 units. */
const MAX_LENGTH = 32 * 1024 * 1024;
/** Delay of an event whose type has too many slow ones: about the timeout of those. */
const POSTPONED_MS = 30_000;
/** Duration of a claim. It exceeds the sink's timeout, so that no other process sends the event meanwhile. */
const CLAIM_SECONDS = 60;
/** There is no last attempt: a sink that is down delays events and never loses one. */
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
  /** An event was answered, or proved slow: there is an outcome to record, or room for another event. */
  readonly onProgress: () => void;
  /** Time after which an event in flight is slow; {@link SLOW_MS} unless given. */
  readonly slowMs?: number;
}

/** An event between its claim and the commit of its outcome. */
interface InFlight {
  readonly event: DueEvent;
  /** `window`: sent, not answered yet; `slow`: for longer than {@link SLOW_MS}; `answered`: to be recorded. */
  state: 'window' | 'slow' | 'answered';
}

/**
 * OutboxRelay sends the events of the outbox, in order per set, at least once and always under the same id.
 * Events go out in a sliding window: the outcome of each is recorded once it is answered, and its place is
 * free for the next, so that one which hangs holds up no other.
 */
export class OutboxRelay {
  readonly #options: OutboxRelayOptions;
  readonly #names: ReadonlyMap<number, string>;
  readonly #shutdown = new AbortController();
  readonly #inFlight = new Map<string, InFlight>();
  readonly #sends = new Set<Promise<void>>();
  /** Outcomes that the database does not have yet. */
  #unrecorded: Delivery[] = [];

  constructor(options: OutboxRelayOptions) {
    this.#options = options;
    this.#names = new Map(options.served.map((each) => [each.id, each.specification.name]));
  }

  /** Records outcomes and sends what is due, without waiting for answers; true if there may be more. */
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

  /** Waits `graceMs` for answers; events without one are sent again by whichever process is up. */
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
    // claimed again because the claim ran out while it was in flight: one send of this process is enough
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
      // an event that can't be represented as a CloudEvent, for its type or subject: no retry can help
      return { kind: 'refused', error: String(error) };
    }
  }
}
