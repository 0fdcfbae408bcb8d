import type { Span } from '@opentelemetry/api';
import type { IncomingHttpHeaders } from 'node:http';
import { endFailed, intakeSpan } from '../spans.ts';
import type { Change, Origin } from '../state/change.ts';
import { Unavailable, type Outcome, type ParkReason } from '../state/outcome.ts';
import type { BadElement, CloudEvent, Incoming } from './cloudevent.ts';
import { readChange, type Ignored } from './debezium.ts';
import type { Count } from './refusal.ts';

/** What intake asks of state. */
export interface Intake {
  /** Names of the functions served here, for events that are meant for certain ones. */
  readonly functions?: readonly string[];
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

  /**
   * Resolves once the event's effect is committed; throws Unavailable, and hands over the span of the
   * failure where there is one. `headers` are those it came with.
   */
  take(
    event: CloudEvent | BadElement,
    headers: IncomingHttpHeaders,
    onFailed: (span: Span) => void = () => {},
  ): Promise<Taken> {
    if ('why' in event) return this.park(event.origin, 'not-a-change', event.why);
    const span = intakeSpan(event.attributes, headers);
    return span === null ? this.#take(event) : this.#takeTraced(event, span, onFailed);
  }

  /** Of a record that nobody can be told about: what is no event is kept aside too. */
  async takeRecord(
    incoming: Incoming,
    headers: IncomingHttpHeaders,
    body: Uint8Array,
  ): Promise<void> {
    switch (incoming.kind) {
      case 'event':
        await this.take(incoming.event, headers);
        return;
      case 'batch':
        await Promise.all(incoming.elements.map((element) => this.take(element, headers)));
        return;
      case 'none':
        await this.park(originOf(headers, body), 'not-a-change', incoming.why);
    }
  }

  async #takeTraced(event: CloudEvent, span: Span, onFailed: (span: Span) => void): Promise<Taken> {
    try {
      const taken = await this.#take({ ...event, span });
      span.setAttributes({ 'muster.outcome': taken.kind }).end();
      return taken;
    } catch (error) {
      endFailed(span, error instanceof Unavailable ? error.reason : 'internal');
      onFailed(span);
      throw error;
    }
  }

  async #take(event: CloudEvent): Promise<Taken> {
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
