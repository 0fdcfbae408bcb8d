import type { Span, SpanContext, SpanOptions } from '@opentelemetry/api';

/**
 * The tracing that an event needs on its path. otel-sdk.ts provides it if an endpoint is configured.
 * Otherwise {@link tracer} is null, OpenTelemetry is not loaded, and each function of spans.ts costs one
 * comparison.
 */
export interface Tracer {
  /** Starts a span. Returns null if it is not sampled, so that no work is done for it or its children. */
  start(name: string, options: SpanOptions, parent: SpanContext | null): Span | null;
  /** Runs work with `span` as the active span, for log lines and for libraries that a handler uses. */
  within<T>(span: Span, work: () => T): T;
  /** Context of the active span. */
  active(): SpanContext | undefined;
}

/** Null while nothing is traced. */
export let tracer: Tracer | null = null;

/** Sets or removes the tracer. */
export function setTracer(provided: Tracer | null): void {
  tracer = provided;
}

const SAMPLED = 1;
const TRACEPARENT = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})(-.*)?$/;

/** Parses a `traceparent` (W3C Trace Context, 3.2); returns null if it is invalid. */
export function parseTraceparent(text: string): SpanContext | null {
  const [, version, traceId, spanId, flags, more] = TRACEPARENT.exec(text) ?? [];
  if (traceId === undefined || spanId === undefined || version === 'ff') return null;
  // Later versions may add fields; version 00 has none.
  if (version === '00' && more !== undefined) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, traceFlags: Number.parseInt(flags!, 16) & SAMPLED, isRemote: true };
}

export function isSampled({ traceFlags }: SpanContext): boolean {
  return (traceFlags & SAMPLED) === SAMPLED;
}

/** Formats a context as text for Postgres' `bytea`: trace id and span id, 24 bytes. Only sampled contexts are stored. */
export function toBytea({ traceId, spanId }: SpanContext): string {
  return `\\x${traceId}${spanId}`;
}

/** Parses the hexadecimal digits of what {@link toBytea} wrote. */
export function fromHex(hex: string): SpanContext {
  return {
    traceId: hex.slice(0, 32),
    spanId: hex.slice(32),
    traceFlags: SAMPLED,
    isRemote: true,
  };
}

/** Formats a sampled context as `traceparent` (W3C Trace Context, 3.2). */
export function toTraceparent({ traceId, spanId }: SpanContext): string {
  return `00-${traceId}-${spanId}-01`;
}

/** Log fields of a context, named as OpenTelemetry specifies for log formats other than its own. */
export function logFields(context: SpanContext): { trace_id: string; span_id: string } {
  return { trace_id: context.traceId, span_id: context.spanId };
}

/** Which signals have an endpoint. The SDK's default would be a collector on this host. */
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
