/**
 * The four spans on the path of an event, named after OpenTelemetry's semantic conventions 1.45 (messaging,
 * cloudevents, db, http), and `muster.*` for what these do not name. Each function returns null if nothing
 * is traced.
 *
 * A span holds no personal data: no row, payload, subject or error message, and the key of a set only as a
 * hash, because more people can read the systems that spans go to than a log. The log line with the same
 * span_id has the key and the message.
 */
import type { Attributes, Link, Span, SpanContext, SpanKind } from '@opentelemetry/api';
import { hash } from 'node:crypto';
import { isSampled, parseTraceparent, tracer } from './trace.ts';

// Values of SpanKind and SpanStatusCode. The API that defines them is not loaded if nothing is traced.
const CLIENT = 2 satisfies SpanKind.CLIENT;
const PRODUCER = 3 satisfies SpanKind.PRODUCER;
const CONSUMER = 4 satisfies SpanKind.CONSUMER;
const ERROR = 2;

/** Type of a plain Kafka record. The event's source ends with the topic. */
const KAFKA_EVENT = 'dev.knative.kafka.event';

/** Headers of the request or record that carried an event. */
export type TraceHeaders = Readonly<Record<string, string | string[] | undefined>>;

type Texts = Readonly<Record<string, string | undefined>>;

/** Span of one event with these attributes, from its parsing to the commit. */
export function intakeSpan(attributes: Texts, headers: TraceHeaders): Span | null {
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
        // For a plain record, a KafkaSource derives them from the attributes above; each costs 0.5 µs.
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

/** Span of one change that was read from a source's log, until its commit. */
export function changeSpan({ attributes }: { readonly attributes: Texts }): Span | null {
  if (tracer === null) return null;
  const { id, source, type } = attributes;
  return tracer.start(
    'process',
    {
      kind: CONSUMER,
      attributes: {
        'messaging.system.name': 'postgresql',
        'messaging.operation.name': 'process',
        'messaging.operation.type': 'process',
        'cloudevents.event_type': type,
        'cloudevents.event_id': id,
        'cloudevents.event_source': source,
      },
    },
    null,
  );
}

/**
 * Chooses the parent of an event's span. It is the event's own context (CloudEvents' distributed tracing
 * extension, or a Kafka header that KafkaSource passes on), unless there is none or the request continues the
 * same trace: then the request is closer. A request in another trace is linked.
 */
function parentOf(
  attributes: Texts,
  headers: TraceHeaders,
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
 * Span of one statement that ingests many events. It is a child of the first traced one, so that it is
 * sampled whenever one of them is, and linked to all of them.
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
 * Span of one attempt. It is a child of the youngest traced member, which in most cases completed the set,
 * and linked to all of them. A set without a traced member is not traced.
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

/** Span of one attempt to send an event, in the trace of the run that returned it. */
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
        'messaging.message.id': hashOf(event.eventId), // it contains the key of the set
        'cloudevents.event_source': source,
        'cloudevents.event_type': event.type,
        'muster.attempt': event.attempts,
        ...destination,
      },
    },
    event.trace,
  );
}

/** Runs work with `span` as the active span, or plainly if it is null. */
export function within<T>(span: Span | null, work: () => T): T {
  return span === null || tracer === null ? work() : tracer.within(span, work);
}

/** Ends a span as failed; `type` is a low-cardinality error type. */
export function endFailed(span: Span | null, type: string, attributes: Attributes = {}): void {
  if (span === null) return;
  span.setStatus({ code: ERROR });
  span.setAttributes({ 'error.type': type, ...attributes });
  span.end();
}

/** Context of a sampled span, to store for the spans that follow; null otherwise. */
export function contextOf(span: Span | null | undefined): SpanContext | null {
  const context = span?.spanContext();
  return context !== undefined && isSampled(context) ? context : null;
}

/** Equals the output of `printf %s "$key" | sha256sum | cut -c-16`. */
function hashOf(text: string): string {
  return hash('sha256', text).slice(0, 16);
}
