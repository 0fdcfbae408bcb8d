import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { VERSION } from '../lib/version.ts';

/**
 * What a process tells of itself beside its counters: CPU, memory, event loop, garbage collection
 * (`process_*`, `nodejs_*`) and its build. A registry of their own: OpenTelemetry has other names for them.
 */
export function collectProcessMetrics(): Registry {
  const registry = new Registry();
  // 10 ms unless given, which wakes an idle process a hundred times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  new Gauge({
    name: 'muster_build_info',
    help: 'Always 1; the labels say which build this is.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version: VERSION, node: process.version }, 1);
  return registry;
}
