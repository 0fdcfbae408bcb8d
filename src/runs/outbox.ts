import type { Delivery, Outgoing, Sink } from '../publish/sink.ts';
import type { Database } from '../state/database.ts';
import type { Served } from '../state/member.ts';
import { claimOutbox, settleOutbox, type DueEvent, type Settlement } from '../state/outbox.ts';
import { failpoint } from '../failpoint.ts';
import { contextOf, endFailed, sendSpan } from '../spans.ts';
import { toTraceparent } from '../trace.ts';
import { waitAfter, type Backoff } from './retry.ts';

const BATCH = 64;
/** Longer than the sink's time-out: nobody else sends an event while this process may. */
const TAKEN_SECONDS = 60;
/** A sink that is down delays and never loses: there is no last attempt. */
const BACKOFF: Backoff = { attempts: Infinity, firstMs: 1_000, maxMs: 60_000 };

export interface PublisherOptions {
  readonly database: Database;
  readonly served: readonly Served[];
  readonly sink: Sink;
  /** The name under which this process holds leases. */
  readonly pod: () => string;
  readonly onSettled: (settlement: Settlement, event: DueEvent) => void;
}

/** Sends what the outbox holds, in order per set, at least once and always under the same id. */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #names: ReadonlyMap<number, string>;
  readonly #hurry = new AbortController();
  /** What became of events, as far as the database could not be told yet. */
  #unsettled: readonly Settlement[] = [];

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#names = new Map(options.served.map((each) => [each.id, each.specification.name]));
  }

  /** Sends what is due; true if there may be more. */
  async publish(): Promise<boolean> {
    const { database, pod, onSettled } = this.#options;
    await this.#settle();
    const ids = [...this.#names.keys()];
    const due = await claimOutbox(database, ids, pod(), BATCH, TAKEN_SECONDS);
    if (due.length === 0) return false;
    failpoint('before-publish');
    this.#unsettled = await Promise.all(due.map((event) => this.#send(event)));
    this.#unsettled.forEach((settlement, i) => onSettled(settlement, due[i]!));
    await this.#settle();
    return true;
  }

  async #settle(): Promise<void> {
    if (this.#unsettled.length > 0) await settleOutbox(this.#options.database, this.#unsettled);
    this.#unsettled = [];
  }

  /** Waits for no answer any more: what is under way is to be tried again, by whoever is up. */
  hurry(): void {
    this.#hurry.abort(new Error('the process stops'));
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
