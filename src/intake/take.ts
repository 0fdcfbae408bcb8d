import type { IncomingHttpHeaders } from 'node:http';
import type { Change, Origin } from '../state/change.ts';
import type { Outcome, ParkReason } from '../state/outcome.ts';
import type { BadElement, CloudEvent, Incoming } from './cloudevent.ts';
import { readChange, type Ignored } from './debezium.ts';
import type { Count } from './refusal.ts';

/** What intake asks of state. */
export interface Intake {
  /** Resolves once the change is committed; throws Unavailable. */
  file(change: Change): Promise<Outcome>;
  /** Resolves once the event is kept aside. */
  park(origin: Origin, reason: ParkReason, detail: string): Promise<void>;
  /** Sets the change's row belongs to now, for people. */
  explain(change: Change): Promise<unknown>;
}

/** What became of one event. */
export type Taken =
  | { readonly kind: 'filed' | 'unwanted'; readonly change: Change }
  | Ignored
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly detail: string };

const FILED = { outcome: 'filed' };
const UNWANTED = { outcome: 'unwanted' };

/** Takes events to state, whatever road they came by, and counts what became of them. */
export class Taker {
  readonly #intake: Pick<Intake, 'file' | 'park'>;
  readonly #count: Count;

  constructor(intake: Pick<Intake, 'file' | 'park'>, count: Count) {
    this.#intake = intake;
    this.#count = count;
  }

  /** Resolves once its effect is committed; throws Unavailable. */
  async take(event: CloudEvent): Promise<Taken> {
    const reading = readChange(event);
    if (reading.kind === 'ignored') {
      this.#count('ignored', { why: reading.why });
      return reading;
    }
    if (reading.kind === 'unreadable') return this.park(event, reading.reason, reading.detail);
    const outcome = await this.#intake.file(reading);
    if (outcome.kind === 'parked') {
      this.#count('parked', { reason: outcome.reason });
      return outcome;
    }
    this.#count('events', outcome.kind === 'filed' ? FILED : UNWANTED);
    return { kind: outcome.kind, change: reading };
  }

  takeElement(element: CloudEvent | BadElement): Promise<Taken> {
    return 'why' in element
      ? this.park(element.origin, 'not-a-change', element.why)
      : this.take(element);
  }

  /** Of a record that nobody can be told about: what is no event is kept aside too. */
  async takeRecord(
    incoming: Incoming,
    headers: IncomingHttpHeaders,
    body: Uint8Array,
  ): Promise<void> {
    switch (incoming.kind) {
      case 'event':
        await this.take(incoming.event);
        return;
      case 'batch':
        await Promise.all(incoming.elements.map((element) => this.takeElement(element)));
        return;
      case 'none':
        await this.park(originOf(headers, body), 'not-a-change', incoming.why);
    }
  }

  async park(origin: Origin, reason: ParkReason, detail: string): Promise<Taken> {
    await this.#intake.park(origin, reason, detail);
    this.#count('parked', { reason });
    return { kind: 'parked', reason, detail };
  }
}

function originOf(headers: IncomingHttpHeaders, body: Uint8Array): Origin {
  const attributes: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (name.startsWith('ce-') && typeof value === 'string') attributes[name.slice(3)] = value;
  return { attributes, contentType: headers['content-type'] ?? null, body };
}
