import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { VERSION } from '../lib/version.ts';

/**
 * Collects metrics about the process itself: CPU, memory, event loop, garbage collection (`process_*`,
 * `nodejs_*`) and its build. They have a registry of their own because they are not exported to
 * OpenTelemetry, which has other names for them.
 */
export function collectProcessMetrics(): Registry {
  const registry = new Registry();
  // The default of 10 ms wakes an idle process a hundred times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  new Gauge({
    name: 'muster_build_info',
    help: 'Always 1; the labels identify the build.',
    labelNames: ['version', 'node'],
    registers: [registry],
  }).set({ version: VERSION, node: process.version }, 1);
  return registry;
}
