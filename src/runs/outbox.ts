import type { Outgoing, Sink } from '../publish/sink.ts';
import type { Database } from '../state/database.ts';
import type { Served } from '../state/member.ts';
import { claimOutbox, settleOutbox, type DueEvent, type Settlement } from '../state/outbox.ts';
import { failpoint } from '../failpoint.ts';
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
    const outgoing: Outgoing = {
      id: event.eventId,
      key: event.key,
      source: `/muster/${this.#names.get(event.function)}`,
      type: event.type,
      subject: event.subject,
      time: event.createdAt,
      data: event.data,
    };
    const { id } = event;
    try {
      const delivery = await this.#options.sink.send(outgoing, this.#hurry.signal);
      switch (delivery.kind) {
        case 'sent':
          return { id, kind: 'sent' };
        case 'refused':
          return { id, kind: 'failed', error: delivery.error };
        case 'again':
          return {
            id,
            kind: 'again',
            error: delivery.error,
            waitMs: waitAfter(event.attempts, BACKOFF)!,
          };
      }
    } catch (error) {
      // an event that can't be written as a CloudEvent (its type or subject): no retry can mend it
      return { id, kind: 'failed', error: String(error) };
    }
  }
}
