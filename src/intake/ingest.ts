import type { Span } from '@opentelemetry/api';
import type { IncomingHttpHeaders } from 'node:http';
import { endFailed, intakeSpan } from '../telemetry/spans.ts';
import type { Change, Origin } from '../state/change.ts';
import { Unavailable, type Outcome, type ParkReason } from '../state/outcome.ts';
import { readBatch } from './cloudevents/batch.ts';
import { type Batch } from './cloudevents/incoming.ts';
import { sentAttributes } from './cloudevents/cloudevent.ts';
import { type BadElement, type CloudEvent, type Incoming } from './cloudevents/incoming.ts';
import { readChange, type Ignored } from './debezium/read-change.ts';
import type { Count } from './http-error.ts';

/** What intake asks of state. */
export interface Intake {
  /** Names of the functions served here, for events that are meant for certain ones. */
  readonly functions?: readonly string[];
  /** Resolves once the change is committed; throws Unavailable. */
  ingest(change: Change): Promise<Outcome>;
  /** Resolves once the event is kept aside. */
  park(origin: Origin, reason: ParkReason, detail: string): Promise<void>;
  /** For people: the sets that the change's row belongs to now, and why it belongs to no other. */
  explain(change: Change): Promise<{ readonly sets: unknown; readonly why?: string }>;
}

/** What became of one event. */
export type EventResult =
  | { readonly kind: 'ingested' | 'unwanted'; readonly change: Change }
  | Ignored
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly detail: string };

/** What became of a batch: of each element, or of the whole request, which is parked. */
export type BatchResult =
  | { readonly kind: 'each'; readonly elements: readonly ElementResult[] }
  | { readonly kind: 'whole'; readonly result: EventResult };

export interface ElementResult {
  /** `id` of the CloudEvent; null where it can't be read. */
  readonly id: string | null;
  readonly result: EventResult;
}

/** Elements of a batch taken at a time: as many as one statement takes. */
const CHUNK = 256;

const INGESTED = { outcome: 'ingested' };
const UNWANTED = { outcome: 'unwanted' };

/** Takes events to state, whatever road they came by, and counts what became of them. */
export class EventIngestor {
  readonly #intake: Pick<Intake, 'ingest' | 'park'>;
  readonly #count: Count;

  constructor(intake: Pick<Intake, 'ingest' | 'park'>, count: Count) {
    this.#intake = intake;
    this.#count = count;
  }

  /**
   * Resolves once the event's effect is committed; throws Unavailable, and hands over the span of the
   * failure where there is one. `headers` are those it came with.
   */
  ingest(
    event: CloudEvent | BadElement,
    headers: IncomingHttpHeaders,
    onFailed: (span: Span) => void = () => {},
  ): Promise<EventResult> {
    if ('why' in event) return this.park(event.origin, 'not-a-change', event.why);
    const span = intakeSpan(event.attributes, headers);
    return span === null ? this.#ingest(event) : this.#ingestTraced(event, span, onFailed);
  }

  /**
   * Takes the elements of a batch. Each is tried before the first failure is thrown; those that were
   * committed are duplicates next time.
   */
  async ingestBatch(
    batch: Batch,
    headers: IncomingHttpHeaders,
    onFailed?: (span: Span) => void,
  ): Promise<BatchResult> {
    const events = await readBatch(batch);
    if ('why' in events) return { kind: 'whole', result: await this.ingest(events, headers) };
    const outer = batch.origin.attributes['id'] ?? null;
    const elements: ElementResult[] = [];
    for (let from = 0; from < events.length; from += CHUNK) {
      const chunk = events.slice(from, from + CHUNK);
      const results = await Promise.allSettled(
        chunk.map((event) => this.ingest(event, headers, onFailed)),
      );
      for (const [i, result] of results.entries()) {
        if (result.status === 'rejected') throw result.reason;
        const id = idOf(chunk[i]!);
        // an element without one has that of the event around the batch
        elements.push({ id: id === outer ? null : id, result: result.value });
      }
    }
    return { kind: 'each', elements };
  }

  /** Takes a record that nobody can be told about: what is no event is parked too. */
  async ingestRecord(
    incoming: Incoming,
    headers: IncomingHttpHeaders,
    body: Uint8Array,
  ): Promise<void> {
    switch (incoming.kind) {
      case 'event':
        await this.ingest(incoming.event, headers);
        return;
      case 'bad':
        await this.ingest(incoming.element, headers);
        return;
      case 'batch':
        await this.ingestBatch(incoming.batch, headers);
        return;
      case 'none': {
        const contentType = headers['content-type'] ?? null;
        const origin = { attributes: sentAttributes(headers), contentType, body };
        await this.park(origin, 'not-a-change', incoming.why);
      }
    }
  }

  async #ingestTraced(
    event: CloudEvent,
    span: Span,
    onFailed: (span: Span) => void,
  ): Promise<EventResult> {
    try {
      const result = await this.#ingest({ ...event, span });
      span.setAttributes({ 'muster.outcome': result.kind }).end();
      return result;
    } catch (error) {
      endFailed(span, error instanceof Unavailable ? error.reason : 'internal');
      onFailed(span);
      throw error;
    }
  }

  async #ingest(event: CloudEvent): Promise<EventResult> {
    const reading = readChange(event);
    if (reading.kind === 'ignored') {
      this.#count('ignored', { why: reading.why });
      return reading;
    }
    if (reading.kind === 'unreadable') return this.park(event, reading.reason, reading.detail);
    const outcome = await this.#intake.ingest(reading);
    if (outcome.kind === 'parked') {
      this.#count('parked', { reason: outcome.reason });
      return outcome;
    }
    this.#count('events', outcome.kind === 'ingested' ? INGESTED : UNWANTED);
    return { kind: outcome.kind, change: reading };
  }

  async park(origin: Origin, reason: ParkReason, detail: string): Promise<EventResult> {
    await this.#intake.park(origin, reason, detail);
    this.#count('parked', { reason });
    return { kind: 'parked', reason, detail };
  }
}

function idOf(event: CloudEvent | BadElement): string | null {
  const { attributes } = 'why' in event ? event.origin : event;
  return attributes['id'] ?? null;
}
