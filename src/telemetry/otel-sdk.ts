/**
 * OpenTelemetry. Only this file and otlp-bridge.ts import its SDK, and they are loaded only if an endpoint is
 * configured: of the 140 ms of CPU that a start takes with a warm compile cache, loading the SDK takes 40
 * (8 of them for its reader of configuration files, which its public entry point includes).
 *
 * The SDK is configured by its standard variables: endpoint, headers, protocol, sampler, queue.
 */
import {
  context,
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  trace,
  type Context,
  type DiagLogger,
  type SpanContext,
  type SpanOptions,
} from '@opentelemetry/api';
import { OTLPMetricExporter as GrpcExporter } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as JsonExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as ProtobufExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { PeriodicExportingMetricReader, type PushMetricExporter } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import type { Log } from '../function.ts';
import { registryProducer } from './otlp-bridge.ts';
import { isSampled, signalsOf, setTracer, type Tracer } from './trace.ts';

/** Time limit for the last export when the process stops, so that an unreachable collector does not delay it. */
const FLUSH_MS = 3_000;
/** Minimum interval between log lines about failed exports. */
const LOG_EVERY_MS = 600_000;

export interface Telemetry {
  /** Exports the rest, and gives up after three seconds. */
  stop(): Promise<void>;
}

/** Starts tracing and the export of metrics as the environment configures them. */
export function startTelemetry(
  env: NodeJS.ProcessEnv,
  serviceName: string,
  registry: Registry,
  log: Log,
): Telemetry {
  const signals = signalsOf(env);
  diag.setLogger(
    loggerTo((error) =>
      log.warn({ error }, 'OpenTelemetry reports a problem of its configuration'),
    ),
    DiagLogLevel.WARN,
  );
  // The SDK's default also exports the arguments and the owner of the process, which are private.
  env['OTEL_NODE_RESOURCE_DETECTORS'] ??= 'env,serviceinstance';
  const named = /(?:^|,)\s*service\.name=/.test(env['OTEL_RESOURCE_ATTRIBUTES'] ?? '');
  const sdk = new NodeSDK({
    ...(!signals.traces && { spanProcessors: [] }), // otherwise as the environment configures them
    metricReaders: signals.metrics ? [readerOf(registry, env)] : [],
    logRecordProcessors: [], // log lines go to standard error, which every cluster collects
    ...((env['OTEL_SERVICE_NAME'] || !named) && { serviceName }),
  });
  sdk.start();
  diag.setLogger(loggerTo(rateLimitedLog(log, env['OTEL_EXPORTER_OTLP_ENDPOINT'])), {
    logLevel: DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
  if (signals.traces) setTracer(otelTracer(env['OTEL_TRACES_SAMPLER']?.trim()));
  return {
    async stop() {
      setTracer(null);
      const flushed = sdk.shutdown().catch((error: unknown) => diag.error(String(error)));
      await Promise.race([flushed, sleep(FLUSH_MS, undefined, { ref: false })]);
    },
  };
}

function otelTracer(sampler: string | undefined): Tracer {
  const tracer = trace.getTracer('muster');
  const followsParent = sampler === undefined || sampler.startsWith('parentbased_');
  return {
    start(name: string, options: SpanOptions, parent: SpanContext | null) {
      // The sampler would decide the same, a microsecond later.
      if (parent !== null && followsParent && !isSampled(parent)) return null;
      const within: Context =
        parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
      const span = tracer.startSpan(name, options, within);
      return span.isRecording() ? span : null;
    },
    within: (span, work) => context.with(trace.setSpan(context.active(), span), work),
    active: () => trace.getSpanContext(context.active()),
  };
}

function readerOf(registry: Registry, env: NodeJS.ProcessEnv): PeriodicExportingMetricReader {
  const interval = Number(env['OTEL_METRIC_EXPORT_INTERVAL']) || 60_000;
  const timeout = Number(env['OTEL_METRIC_EXPORT_TIMEOUT']) || 30_000;
  return new PeriodicExportingMetricReader({
    exporter: metricExporterOf(env),
    metricProducers: [registryProducer(registry)],
    exportIntervalMillis: interval,
    exportTimeoutMillis: Math.min(timeout, interval),
  });
}

/** The SDK chooses the protocol of metrics only for a reader that it makes itself, without our producer. */
function metricExporterOf(env: NodeJS.ProcessEnv): PushMetricExporter {
  const own = env['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL']?.trim();
  const protocol = own || env['OTEL_EXPORTER_OTLP_PROTOCOL']?.trim() || 'http/protobuf';
  if (protocol === 'grpc') return new GrpcExporter();
  if (protocol === 'http/json') return new JsonExporter();
  if (protocol !== 'http/protobuf') {
    diag.warn(`Unsupported OTLP metrics protocol: "${protocol}". Using http/protobuf.`);
  }
  return new ProtobufExporter();
}

/** Replaces the SDK's own logger, which writes to standard error in a format of its own, with stacks. */
function loggerTo(write: (message: string) => void): DiagLogger {
  const log = (message: string) => write(reasonIn(message));
  return { error: log, warn: log, info() {}, debug() {}, verbose() {} };
}

/**
 * Logs a failed export at most once in ten minutes; while a collector is down, every batch fails, and every
 * minute's metrics. What could not be sent is dropped, because the queue is bounded.
 */
function rateLimitedLog(log: Log, url: string | undefined): (message: string) => void {
  let loggedAt = -Infinity;
  return (error) => {
    if (performance.now() - loggedAt < LOG_EVERY_MS) return;
    loggedAt = performance.now();
    log.warn({ url, error }, 'telemetry can not be sent and is dropped');
  };
}

/** Extracts the message of an error, which the SDK writes as JSON with its stack and the collector's answer. */
function reasonIn(message: string): string {
  try {
    const reported = JSON.parse(message) as { message?: string; code?: string };
    return (reported.message || reported.code || 'unknown').slice(0, 200);
  } catch {
    return message.slice(0, 200);
  }
}
