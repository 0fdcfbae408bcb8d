/**
 * OpenTelemetry: with otlp-metrics.ts the only file that imports its SDK, and imported itself only where
 * an endpoint is configured (32 ms of CPU with a warm compile cache, of a start's 140). Everything is
 * told by the standard variables, which the SDK reads: endpoint, headers, protocol, sampler, queue.
 *
 * Not `@opentelemetry/sdk-node` by its name: that also reads configuration files, and takes 8 ms more.
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
import { PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { NodeSDK } from '@opentelemetry/sdk-node/build/src/sdk.js';
import {
  getOtlpMetricExporterFromEnv,
  getSpanProcessorsFromEnv,
} from '@opentelemetry/sdk-node/build/src/utils.js';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Registry } from 'prom-client';
import type { Log } from '../function.ts';
import { registryProducer } from './otlp-bridge.ts';
import { isSampled, signalsOf, traceWith, type Tracer } from './trace.ts';

/** Of a stop, for what is still to be sent: a collector that is down must not hold it up. */
const FLUSH_MS = 3_000;
const COMPLAIN_EVERY_MS = 600_000;

export interface Telemetry {
  /** Sends what is left, within three seconds. */
  stop(): Promise<void>;
}

/** Starts what the environment asks for; from then on spans begin and metrics are sent. */
export function startTelemetry(
  env: NodeJS.ProcessEnv,
  serviceName: string,
  registry: Registry,
  log: Log,
): Telemetry {
  const signals = signalsOf(env);
  diag.setLogger(
    sayingBy((error) => log.warn({ error }, 'OpenTelemetry, of its configuration')),
    DiagLogLevel.WARN,
  );
  // Not what the SDK takes by default: a process' arguments and owner are nobody's business.
  env['OTEL_NODE_RESOURCE_DETECTORS'] ??= 'env,serviceinstance';
  const named = /(?:^|,)\s*service\.name=/.test(env['OTEL_RESOURCE_ATTRIBUTES'] ?? '');
  const sdk = new NodeSDK({
    spanProcessors: signals.traces ? getSpanProcessorsFromEnv(undefined) : [],
    metricReaders: signals.metrics ? [readerOf(registry, env)] : [],
    logRecordProcessors: [], // lines go to standard error, which every cluster collects
    ...((env['OTEL_SERVICE_NAME'] || !named) && { serviceName }),
  });
  sdk.start();
  diag.setLogger(sayingBy(complainingTo(log, env['OTEL_EXPORTER_OTLP_ENDPOINT'])), {
    logLevel: DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
  if (signals.traces) traceWith(otelTracer(env['OTEL_TRACES_SAMPLER']?.trim()));
  return {
    async stop() {
      traceWith(null);
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
      // What the sampler would say too, a microsecond later.
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
    exporter: getOtlpMetricExporterFromEnv(),
    metricProducers: [registryProducer(registry)],
    exportIntervalMillis: interval,
    exportTimeoutMillis: Math.min(timeout, interval),
  });
}

/** The SDK's own logger would write to standard error as it likes, with stacks. */
function sayingBy(say: (message: string) => void): DiagLogger {
  const saying = (message: string) => say(reasonIn(message));
  return { error: saying, warn: saying, info() {}, debug() {}, verbose() {} };
}

/**
 * Says what goes wrong, which for a collector that is down is something each batch and each minute:
 * once, and again after ten minutes. What could not be sent is dropped; its queue is bounded.
 */
function complainingTo(log: Log, url: string | undefined): (message: string) => void {
  let saidAt = -Infinity;
  return (error) => {
    if (performance.now() - saidAt < COMPLAIN_EVERY_MS) return;
    saidAt = performance.now();
    log.warn({ url, error }, 'telemetry is not sent, and dropped while that is so');
  };
}

/** The SDK writes errors as JSON, with a stack, and the collector's answer. */
function reasonIn(message: string): string {
  try {
    const said = JSON.parse(message) as { message?: string; code?: string };
    return (said.message || said.code || 'unknown').slice(0, 200);
  } catch {
    return message.slice(0, 200);
  }
}
