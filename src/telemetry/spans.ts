/**
 * The four spans on the way of an event, with the names of OpenTelemetry's semantic conventions 1.45
 * (messaging, cloudevents, db, http) and `muster.*` for what they have no name for. Each function gives
 * null where nothing is traced.
 *
 * Nothing in a span is personal: no row, no payload, no subject, no message of an error, and a set's
 * key only as a hash, because spans go to systems that more people read than a log. The log line with
 * the same span_id has the key and the message.
 */
import type { Attributes, Link, Span, SpanContext, SpanKind } from '@opentelemetry/api';
import { hash } from 'node:crypto';
import { isSampled, parseTraceparent, tracer } from './trace.ts';

// SpanKind and SpanStatusCode of the API, which is not loaded where nothing is traced.
const CLIENT = 2 satisfies SpanKind.CLIENT;
const PRODUCER = 3 satisfies SpanKind.PRODUCER;
const CONSUMER = 4 satisfies SpanKind.CONSUMER;
const ERROR = 2;

/** A plain record of Kafka; its source ends with the topic. */
const KAFKA_EVENT = 'dev.knative.kafka.event';

/** Attributes of a CloudEvent, and the headers of the request it came in. */
type Texts = Readonly<Record<string, string | string[] | undefined>>;

/** One event, from its reading to the commit. */
export function intakeSpan(attributes: Texts, headers: Texts): Span | null {
  if (tracer === null) return null;
  const { parent, link } = parentOf(attributes, headers);
  const { source, type } = attributes;
  const partition = attributes['knativekafkapartition'];
  const offset = attributes['knativekafkaoffset'];
  const topic = type === KAFKA_EVENT ? String(source).split('#', 2)[1] : undefined;
  return tracer.start(
    topic === undefined ? 'process' : `process ${topic}`,
    {
      kind: CONSUMER,
      attributes: {
        'messaging.system.name': partition === undefined ? 'http' : 'kafka',
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'messaging.destination.name': topic,
        'messaging.destination.partition.id': partition,
        'messaging.kafka.offset': offset === undefined ? undefined : Number(offset),
        'cloudevents.event_type': type,
        // Of a plain record a KafkaSource makes them of what stands above; each costs half a microsecond.
        ...(topic === undefined && {
          'cloudevents.event_id': attributes['id'],
          'cloudevents.event_source': source,
        }),
      },
      ...(link !== null && { links: [{ context: link }] }),
    },
    parent,
  );
}

/**
 * The event's own context (CloudEvents' distributed tracing extension, or a Kafka header as KafkaSource
 * hands it on), or that of the request where there is none or where it continues the event's trace: it
 * is the nearer one then. A request in another trace is linked.
 */
function parentOf(
  attributes: Texts,
  headers: Texts,
): { parent: SpanContext | null; link: SpanContext | null } {
  const own = attributes['traceparent'] ?? attributes['kafkaheadertraceparent'];
  const event = typeof own === 'string' ? parseTraceparent(own) : null;
  const sent = headers['traceparent'];
  const request = typeof sent === 'string' ? parseTraceparent(sent) : null;
  if (event === null) return { parent: request, link: null };
  if (request?.traceId === event.traceId) return { parent: request, link: null };
  return { parent: event, link: request };
}

/**
 * One statement for many events. A child of the first that is traced, so that it is sampled whenever one
 * of them is, and linked to all of them.
 */
export function batchSpan(
  events: readonly { readonly origin: { readonly span?: Span } }[],
  rows: number,
): Span | null {
  if (tracer === null) return null;
  const links: Link[] = [];
  for (const { origin } of events) {
    if (origin.span !== undefined) links.push({ context: origin.span.spanContext() });
  }
  const [first] = links;
  if (first === undefined) return null;
  return tracer.start(
    'ingest-changes',
    {
      kind: CLIENT,
      attributes: {
        'db.system.name': 'postgresql',
        'db.query.summary': 'ingest-changes',
        'db.operation.batch.size': rows,
        'messaging.batch.message_count': events.length,
      },
      links,
    },
    first.context,
  );
}

/**
 * One attempt at a set. A child of the youngest member that is traced, which in most cases completed
 * the set, and linked to all of them; a set none of whose rows is traced is not traced either.
 */
export function runSpan(
  fn: string,
  lease: { readonly key: string; readonly revision: number; readonly attempt: number },
  members: readonly { readonly since: Date; readonly trace: SpanContext | null }[],
): Span | null {
  if (tracer === null) return null;
  const links: Link[] = [];
  let parent: SpanContext | null = null;
  let youngest = 0;
  for (const { since, trace } of members) {
    if (trace === null) continue;
    links.push({ context: trace });
    if (since.getTime() >= youngest) [parent, youngest] = [trace, since.getTime()];
  }
  if (parent === null) return null;
  return tracer.start(
    `run ${fn}`,
    {
      attributes: {
        'muster.function': fn,
        'muster.set.hash': hashOf(lease.key),
        'muster.revision': lease.revision,
        'muster.attempt': lease.attempt,
        'muster.members': members.length,
      },
      links,
    },
    parent,
  );
}

/** One attempt to send an event, in the trace of the run that made it. */
export function sendSpan(
  event: {
    readonly eventId: string;
    readonly type: string;
    readonly attempts: number;
    readonly trace: SpanContext | null;
  },
  source: string,
  destination: Attributes | undefined,
): Span | null {
  if (tracer === null || event.trace === null) return null;
  return tracer.start(
    `send ${String(destination?.['messaging.destination.name'] ?? event.type)}`,
    {
      kind: PRODUCER,
      attributes: {
        'messaging.operation.name': 'send',
        'messaging.operation.type': 'send',
        'messaging.message.id': hashOf(event.eventId), // it holds the set's key
        'cloudevents.event_source': source,
        'cloudevents.event_type': event.type,
        'muster.attempt': event.attempts,
        ...destination,
      },
    },
    event.trace,
  );
}

/** Does work within a span; without one just does it. */
export function within<T>(span: Span | null, work: () => T): T {
  return span === null || tracer === null ? work() : tracer.within(span, work);
}

/** Ends a span as one that failed; `type` is a word of few. */
export function endFailed(span: Span | null, type: string, attributes: Attributes = {}): void {
  if (span === null) return;
  span.setStatus({ code: ERROR });
  span.setAttributes({ 'error.type': type, ...attributes });
  span.end();
}

/** The context of a span that is recorded, to be kept for those that follow. */
export function contextOf(span: Span | null | undefined): SpanContext | null {
  const context = span?.spanContext();
  return context !== undefined && isSampled(context) ? context : null;
}

/** `printf %s "$key" | sha256sum | cut -c-16` gives the same. */
function hashOf(text: string): string {
  return hash('sha256', text).slice(0, 16);
}
