import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { createConsole } from '../../src/console/app.ts';
import { createMetrics } from '../../src/process/metrics.ts';
import { VERSION } from '../../src/lib/version.ts';
import { test } from '../chaos/test.ts';
import { engineOn } from '../support/engine.ts';
import { pairOf, partA, partB } from '../support/pair.ts';

const metricsOf = async (url: string) => (await fetch(`${url}/metrics`)).text();

test('counters whose labels are known exist before their first increment', async ({ chaos }) => {
  const { url } = await chaos.launch().serving();
  const text = await metricsOf(url);
  for (const line of [
    'muster_events_total{outcome="ingested"} 0',
    'muster_events_ignored_total{why="tombstone"} 0',
    'muster_events_parked_total{reason="bad-key"} 0',
    'muster_events_refused_total{reason="overload"} 0',
    'muster_events_refused_total{reason="bad-token"} 0',
    'muster_outbox_total{outcome="failed"} 0',
    'muster_sets_completed_total{function="pair"} 0',
    'muster_sets_overdue_total{function="pair"} 0',
    'muster_runs_total{function="pair",outcome="failed"} 0',
    'muster_run_seconds_count{function="pair"} 0',
  ]) {
    expect(text.split('\n')).toContain(line);
  }
});

test('sets that become complete are counted by function', async ({ db }) => {
  const engine = await engineOn(db, [pairOf(), pairOf({ name: 'twin' })]);
  const ingested = ['x', 'y'].flatMap((key) => [partA(key), partB(key)]);
  await Promise.all([...ingested, partA('z')].map((change) => engine.ingestor.ingest(change)));
  const { values } = await engine.metrics.completed.get();
  expect(Object.fromEntries(values.map(({ labels, value }) => [labels.function, value]))).toEqual({
    pair: 2,
    twin: 2,
  });
  await engine.stop();
});

test('/metrics shows CPU, memory, event loop and build of the process', async ({ chaos }) => {
  const { url } = await chaos.launch().serving();
  const text = await metricsOf(url);
  expect(text).toMatch(/^process_cpu_seconds_total [\d.]+$/m);
  expect(text).toMatch(/^process_resident_memory_bytes \d+$/m);
  expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds /m);
  expect(text).toContain(`muster_build_info{version="${VERSION}",node="${process.version}"} 1\n`);
  expect(text.match(/^# HELP (\w+)/gm)!.length).toBe(new Set(text.match(/^# HELP (\w+)/gm)).size);
});

test('/metrics of the console shows the same for its process', async () => {
  const db = { read: () => Promise.reject(new Error('nothing to read')) };
  const app = await createConsole({ db, consoles: [] });
  const { body } = await app.inject('/metrics');
  expect(body).toMatch(/^process_cpu_seconds_total /m);
  expect(body).toContain('muster_build_info{');
  await app.close();
});

test('the version equals that of package.json', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(VERSION).toBe(version);
});

test('counters of Kafka exist only for the functions that read from it', async () => {
  const metrics = createMetrics({ sets: ['a'], pulled: ['b'] });
  const text = await metrics.registry.metrics();
  expect(text).toContain('muster_records_total{function="b"} 0');
  expect(text).toContain('muster_records_lost_total{function="b"} 0');
  expect(text).not.toContain('muster_records_total{function="a"}');
});
