import type { Span, SpanContext, SpanOptions } from '@opentelemetry/api';

/**
 * What the way of an event asks of tracing. telemetry.ts provides it where an endpoint is configured;
 * elsewhere {@link tracer} is null, nothing of OpenTelemetry is loaded, and each of the functions of
 * spans.ts is one comparison.
 */
export interface Tracer {
  /** Begins a span; null where the sampler says no, so that whoever follows does nothing either. */
  start(name: string, options: SpanOptions, parent: SpanContext | null): Span | null;
  /** Does work, in which `span` is the active one: for libraries in a handler, and for log lines. */
  within<T>(span: Span, work: () => T): T;
  active(): SpanContext | undefined;
}

export let tracer: Tracer | null = null;

/** Lets spans begin; null ends that. */
export function traceWith(provided: Tracer | null): void {
  tracer = provided;
}

const SAMPLED = 1;
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** Reads a `traceparent` (W3C Trace Context, 3.2); null where it says nothing. */
export function parseTraceparent(text: string): SpanContext | null {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || version === 'ff') return null;
  // A later version may have more fields, the first one has not.
  if (version === '00' && more !== undefined) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags!, 16) & SAMPLED, isRemote: true };
}

export function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & SAMPLED) === SAMPLED;
}

/** A context as text for Postgres' `bytea`: trace id and span id, 24 bytes. Only sampled ones are kept. */
export function toBytea({ traceId, spanId }: SpanContext): string {
  return `\\x${traceId}${spanId}`;
}

/** The context that {@link toBytea} wrote, from its hexadecimal digits. */
export function fromHex(hex: string): SpanContext {
  return {
    traceId: hex.slice(0, 32),
    spanId: hex.slice(32),
    traceFlags: SAMPLED,
    isRemote: true,
  };
}

/** W3C Trace Context, 3.2. */
export function toTraceparent({ traceId, spanId }: SpanContext): string {
  return `00-${traceId}-${spanId}-01`;
}

/** Names of fields as OpenTelemetry has them for log formats other than its own. */
export function logFields(context: SpanContext): { trace_id: string; span_id: string } {
  return { trace_id: context.traceId, span_id: context.spanId };
}

/** Which signals have somewhere to go; the SDK's own default would be a collector on this host. */
export function signalsOf(env: NodeJS.ProcessEnv): { traces: boolean; metrics: boolean } {
  const to = (signal: 'TRACES' | 'METRICS') =>
    env['OTEL_SDK_DISABLED']?.trim().toLowerCase() !== 'true' &&
    env[`OTEL_${signal}_EXPORTER`]?.trim() !== 'none' &&
    Boolean(
      env['OTEL_EXPORTER_OTLP_ENDPOINT']?.trim() ||
      env[`OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`]?.trim(),
    );
  return { traces: to('TRACES'), metrics: to('METRICS') };
}
