import type { Span } from '@opentelemetry/api';
import { changeSpan, endFailed, intakeSpan, type TraceHeaders } from '../telemetry/spans.ts';
import type { Change, EventChange, Origin, RowChange, TruncateChange } from '../state/change.ts';
import { Unavailable, type Outcome, type ParkReason } from '../state/outcome.ts';
import { isChangeType } from './cloudevents/attributes.ts';
import { readBatch } from './cloudevents/batch.ts';
import type { BadElement, Batch, CloudEvent } from './cloudevents/incoming.ts';
import type { RecordContent } from './cloudevents/kafka-record.ts';
import { toEventChange, toRecordChange } from './cloudevents/event-change.ts';
import { readChange, type Ignored, type Reading } from './debezium/read-change.ts';
import { hasSchemaId, decodeFramed, type SchemaDecoder } from './debezium/decode-framed.ts';
import type { Count } from './http-error.ts';

/** What intake needs of state. */
export interface Intake {
  /** Names of the functions that this process serves, for events that are addressed to certain functions. */
  readonly functions?: readonly string[];
  /** Topics whose records are parts by themselves, and not changes of tables. */
  readonly recordTopics?: ReadonlySet<string>;
  /** Resolves once the change is committed; throws Unavailable. */
  ingest(change: Change): Promise<Outcome>;
  /** Resolves once the event is parked. */
  park(origin: Origin, reason: ParkReason, detail: string): Promise<void>;
  /** Explains which sets the change's row belongs to now, and why it belongs to no others. */
  explain(change: Change): Promise<{ readonly sets: unknown; readonly why?: string }>;
}

/** Result of one event. */
export type EventResult =
  | { readonly kind: 'ingested' | 'unwanted'; readonly change: Change }
  | Ignored
  | { readonly kind: 'parked'; readonly reason: ParkReason; readonly detail: string };

/** Result of a batch: one for each element, or one for the whole request, which is parked. */
export type BatchResult =
  | { readonly kind: 'each'; readonly elements: readonly ElementResult[] }
  | { readonly kind: 'whole'; readonly result: EventResult };

export interface ElementResult {
  /** `id` of the CloudEvent; null if it can't be read. */
  readonly id: string | null;
  readonly result: EventResult;
}

/** Elements of a batch that are ingested at a time: the maximum of one statement. */
const CHUNK = 256;

const NO_TOPICS: ReadonlySet<string> = new Set();
const INGESTED = { outcome: 'ingested' };
const UNWANTED = { outcome: 'unwanted' };

/** EventIngestor hands the changes of events from HTTP, Kafka and a source's log to state, and counts the results. */
export class EventIngestor {
  readonly #intake: Pick<Intake, 'ingest' | 'park' | 'recordTopics'>;
  readonly #count: Count;
  readonly #decoder: SchemaDecoder | null;

  /** `decoder` decodes what begins with the id of its schema; null without a schema registry. */
  constructor(
    intake: Pick<Intake, 'ingest' | 'park' | 'recordTopics'>,
    count: Count,
    decoder: SchemaDecoder | null = null,
  ) {
    this.#intake = intake;
    this.#count = count;
    this.#decoder = decoder;
  }

  /**
   * Resolves once the event's effect is committed. Throws {@link Unavailable}, and calls `onFailed` first if the
   * event is traced. `headers` are those that the event came with.
   */
  ingest(
    event: CloudEvent | BadElement,
    headers: TraceHeaders,
    onFailed: (span: Span) => void = () => {},
  ): Promise<EventResult> {
    if ('why' in event) return this.park(event.origin, 'not-a-change', event.why);
    const span = intakeSpan(event.attributes, headers);
    return span === null ? this.#ingest(event) : this.#ingestTraced(event, span, onFailed);
  }

  /**
   * Ingests the elements of a batch. All elements of a chunk are tried before the first failure is thrown; those
   * that were committed are duplicates when the batch is sent again.
   */
  async ingestBatch(
    batch: Batch,
    headers: TraceHeaders,
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
        // An element without an id has that of the event around the batch.
        elements.push({ id: id === outer ? null : id, result: result.value });
      }
    }
    return { kind: 'each', elements };
  }

  /** Ingests the events of a Kafka record; resolves and throws as {@link ingest} does. */
  async ingestRecord(content: RecordContent, headers: TraceHeaders): Promise<void> {
    if (content.kind === 'batch') await this.ingestBatch(content.batch, headers);
    else await this.ingest(content.kind === 'bad' ? content.element : content.event, headers);
  }

  /** Ingests a change that was read from the source's log; resolves and throws as {@link ingest} does. */
  ingestChange(change: RowChange | TruncateChange): Promise<EventResult> {
    const span = changeSpan(change.origin);
    if (span === null) return this.#hand(change);
    Object.assign(change.origin, { span });
    return this.#trace(span, () => this.#hand(change));
  }

  #ingestTraced(
    event: CloudEvent,
    span: Span,
    onFailed: (span: Span) => void,
  ): Promise<EventResult> {
    return this.#trace(span, () => this.#ingest({ ...event, span }), onFailed);
  }

  async #trace(
    span: Span,
    work: () => Promise<EventResult>,
    onFailed: (span: Span) => void = () => {},
  ): Promise<EventResult> {
    try {
      const result = await work();
      span.setAttributes({ 'muster.outcome': result.kind }).end();
      return result;
    } catch (error) {
      endFailed(span, error instanceof Unavailable ? error.reason : 'internal');
      onFailed(span);
      throw error;
    }
  }

  async #ingest(event: CloudEvent): Promise<EventResult> {
    const decoded =
      this.#decoder !== null && hasSchemaId(event)
        ? await decodeFramed(event, this.#decoder)
        : event;
    const reading = 'kind' in decoded ? decoded : this.#read(decoded);
    if (reading.kind === 'ignored') {
      this.#count('ignored', { why: reading.why });
      return reading;
    }
    if (reading.kind === 'invalid') return this.park(event, reading.reason, reading.detail);
    const result = await this.#hand(reading);
    if (result.kind === 'unwanted') this.#countUnwanted(reading, event.type);
    return result;
  }

  /** Hands a change to state. */
  async #hand(change: Change): Promise<EventResult> {
    const outcome = await this.#intake.ingest(change);
    if (outcome.kind === 'parked') {
      this.#count('parked', { reason: outcome.reason });
      return outcome;
    }
    this.#count('events', outcome.kind === 'ingested' ? INGESTED : UNWANTED);
    return { kind: outcome.kind, change };
  }

  #countUnwanted(change: Change, type: string): void {
    if (change.kind === 'event') return this.#count('unwantedTypes', { type });
    const table = change.kind === 'row' ? change.stream : change.table;
    this.#count('unwantedTables', { table });
  }

  /** A record of a topic that a part names is that part's, whatever it looks like; other records are changes. */
  #read(event: CloudEvent): Reading | EventChange {
    const record = toRecordChange(event, this.#intake.recordTopics ?? NO_TOPICS);
    if (record !== null) {
      const isTombstone = event.body.length === 0 && event.data === undefined;
      return isTombstone ? { kind: 'ignored', why: 'tombstone' } : record;
    }
    return isChangeType(event.type) ? readChange(event) : toEventChange(event);
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
