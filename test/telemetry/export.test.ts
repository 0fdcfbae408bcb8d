import { expect } from 'vitest';
import { until } from '../support/until.ts';
import { post, senderTrace, test } from './test.ts';

/** Values of `/metrics` by name and labels, without buckets. */
async function shown(url: string): Promise<Record<string, number>> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const lines = text
    .split('\n')
    .filter((line) => line.startsWith('muster_') && !line.includes('_bucket'));
  return Object.fromEntries(
    lines.map((line) => {
      const [name, value] = line.split(' ') as [string, string];
      return [name, Number(value)];
    }),
  );
}

test('exported metrics equal those of /metrics, under the names of the conventions', async ({
  traced,
}) => {
  const pod = await traced.launch();
  await post(pod.url, { id: 1, k: 'fails once', kind: 'a' });
  await post(pod.url, { id: 2, k: 'fails once', kind: 'b' });
  // as a person would send it; the same from a KafkaSource is parked instead
  const headers = { 'ce-specversion': '0.3', 'ce-id': '1', 'ce-source': '/me', 'ce-type': 'mine' };
  expect((await fetch(pod.url, { method: 'POST', headers, body: '{}' })).status).toBe(400);
  await until(async () => (await shown(pod.url))['muster_outbox_total{outcome="sent"}'] === 1);
  const figures = await shown(pod.url);
  await traced.end(pod);

  const { metrics, resource } = traced.collector;
  const of = (name: string) => metrics.find((each) => each.name === name)?.points;
  expect(of('messaging.client.consumed.messages')).toEqual([
    {
      attributes: { 'messaging.operation.name': 'process', 'muster.outcome': 'ingested' },
      value: figures['muster_events_total{outcome="ingested"}'],
    },
  ]);
  expect(of('messaging.client.sent.messages')).toEqual([
    { attributes: { 'messaging.operation.name': 'send', 'muster.outcome': 'sent' }, value: 1 },
  ]);
  expect(of('muster.runs')).toEqual([
    { attributes: { 'muster.function': 'pair', 'muster.outcome': 'again' }, value: 1 },
    { attributes: { 'muster.function': 'pair', 'muster.outcome': 'done' }, value: 1 },
  ]);
  expect(of('muster.events_refused')).toEqual([
    { attributes: { 'muster.reason': 'not-a-cloudevent' }, value: 1 },
  ]);
  const [duration] = of('messaging.process.duration')!;
  expect(duration).toMatchObject({ value: { count: 2 } });
  expect(figures['muster_run_seconds_count{function="pair"}']).toBe(2);
  const { buckets } = duration!.value as { buckets: number[] };
  expect(buckets.reduce((a, b) => a + b)).toBe(2);
  expect(metrics.find(({ name }) => name === 'messaging.process.duration')?.unit).toBe('s');
  // Distinguishes processes, each of which has its own counters.
  expect(resource['service.instance.id']).toMatch(/^[\da-f-]{36}$/);
  expect(Object.keys(resource).filter((name) => name.startsWith('process.'))).toEqual([]);
});

test('an unreachable collector is logged once, and delays neither events nor the stop', async ({
  traced,
}) => {
  await traced.collector.close();
  const pod = await traced.launch({
    OTEL_BSP_SCHEDULE_DELAY: '5',
    OTEL_BSP_MAX_QUEUE_SIZE: '8',
    OTEL_BSP_MAX_EXPORT_BATCH_SIZE: '4',
    OTEL_EXPORTER_OTLP_TIMEOUT: '50',
    OTEL_METRIC_EXPORT_INTERVAL: '50',
  });
  const complaints = () => pod.log.filter(({ msg }) => String(msg).startsWith('telemetry'));
  await post(pod.url, { id: 0, k: 'x', kind: 'a' });
  await until(() => complaints().length > 0);
  for (let id = 1; id < 60; id++) {
    expect(await post(pod.url, { id, k: `${id}`, kind: 'a' })).toBe(204);
  }

  expect(await traced.end(pod)).toBe(0);
  expect(complaints().map(({ url }) => url)).toEqual([traced.collector.url]);
});

test('an invalid variable of OpenTelemetry is logged, and tracing works', async ({ traced }) => {
  const pod = await traced.launch({ OTEL_TRACES_SAMPLER: 'sometimes' });
  await post(pod.url, { id: 1, k: 'x', kind: 'a' });
  await traced.end(pod);
  expect(pod.log).toContainEqual(
    expect.objectContaining({ error: expect.stringContaining('"sometimes"') }),
  );
  expect(traced.collector.spans.length).toBeGreaterThan(0);
});

test('a collector that never answers does not delay the stop', async ({ traced }) => {
  traced.collector.answer = null;
  const pod = await traced.launch();
  await post(pod.url, { id: 1, k: 'x', kind: 'a' });
  expect(await traced.end(pod)).toBe(0);
  expect(traced.collector.bodies.length).toBeGreaterThan(0);
});

test('without an endpoint OpenTelemetry is not loaded, and no trace is stored', async ({
  db,
  traced,
}) => {
  const loaded = async (settings: Record<string, string>) => {
    const pod = await traced.launch(settings);
    await post(pod.url, { id: 1, k: 'x', kind: 'a' }, { traceparent: senderTrace(7).traceparent });
    await traced.end(pod);
    return (JSON.parse(pod.stdout) as { loaded: number }).loaded;
  };
  expect(await loaded({ OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBe(0);
  expect(await loaded({ OTEL_SDK_DISABLED: 'true' })).toBe(0);
  expect(await loaded({ OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' })).toBe(0);
  expect(traced.collector.bodies).toEqual([]);
  expect(await db.query('select trace from muster.member where trace is not null')).toEqual([]);
  expect(await loaded({})).toBeGreaterThan(10);
});
