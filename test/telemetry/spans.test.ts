import { expect } from 'vitest';
import { until } from '../support/until.ts';
import type { Collector, ReceivedSpan } from './collector.ts';
import { post, senderTrace, test } from './test.ts';

const idOf = (span: ReceivedSpan) => `${span.traceId}-${span.spanId}`;
const named = (collector: Collector, name: string) =>
  collector.spans.filter((span) => span.name === name);

test.for([
  ['http/protobuf, the default', {}, 'application/x-protobuf', 'x'],
  [
    'http/json, and a handler that writes',
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    'application/json',
    'writes',
  ],
] as const)(
  'a trace leads from the sender of an event to the event it causes: %s',
  async ([, settings, contentType, k], { traced }) => {
    const { collector, sink } = traced;
    const pod = await traced.launch(settings);
    const first = senderTrace(1);
    const second = senderTrace(2);
    const kafkaHeader = { 'ce-kafkaheadertraceparent': first.traceparent };
    expect(await post(pod.url, { id: 1, k, kind: 'a' }, kafkaHeader)).toBe(204);
    expect(await post(pod.url, { id: 2, k, kind: 'b' }, { traceparent: second.traceparent })).toBe(
      204,
    );
    await until(() => sink.ids.length === 1);
    expect(await traced.end(pod)).toBe(0);

    expect(collector.contentTypes).toEqual(new Set([contentType]));
    expect(collector.resource).toMatchObject({ 'service.name': 'muster' });
    const childOf = (name: string, { spanId }: { spanId: string }) => {
      const [child, ...others] = named(collector, name).filter(
        ({ parentSpanId }) => parentSpanId === spanId,
      );
      expect(others).toEqual([]);
      return child!;
    };
    const intakeA = childOf('process shop.public.item', first);
    const intakeB = childOf('process shop.public.item', second);
    const batchA = childOf('ingest-changes', intakeA);
    const batchB = childOf('ingest-changes', intakeB);
    const run = childOf('run pair', intakeB);
    const send = childOf('send pair.handled', run);
    expect(collector.spans).toHaveLength(6);
    expect([intakeA.traceId, intakeB.traceId]).toEqual([first.traceId, second.traceId]);
    expect(intakeA).toMatchObject({
      kind: 5,
      attributes: {
        'messaging.system.name': 'kafka',
        'messaging.operation.type': 'process',
        'messaging.destination.name': 'shop.public.item',
        'messaging.destination.partition.id': '3',
        'cloudevents.event_type': 'dev.knative.kafka.event',
        'muster.outcome': 'ingested',
      },
    });
    expect([batchA.links, batchB.links]).toEqual([[idOf(intakeA)], [idOf(intakeB)]]);
    expect(batchA).toMatchObject({
      kind: 3,
      attributes: { 'db.system.name': 'postgresql', 'muster.rows.ingested': 2 },
    });
    expect(run.links.toSorted()).toEqual([idOf(intakeA), idOf(intakeB)]);
    expect(run.attributes).toMatchObject({
      'muster.function': 'pair',
      'muster.attempt': 1,
      'muster.members': 2,
      'muster.outcome': 'done',
    });
    expect(send).toMatchObject({
      kind: 4,
      traceId: second.traceId,
      attributes: { 'http.response.status_code': 202, 'server.address': '127.0.0.1' },
    });
    // A handler can pass its trace context on.
    expect(sink.bodies).toEqual([
      JSON.stringify({ traceparent: `00-${run.traceId}-${run.spanId}-01` }),
    ]);
    expect(sink.traceparents).toEqual([
      {
        extension: `00-${run.traceId}-${run.spanId}-01`,
        header: `00-${send.traceId}-${send.spanId}-01`,
      },
    ]);
  },
);

test('each attempt of a handler has its own span, a failed one with its error', async ({
  traced,
}) => {
  const pod = await traced.launch();
  const headers = { traceparent: senderTrace(3).traceparent };
  await post(pod.url, { id: 1, k: 'fails once', kind: 'a' }, headers);
  await post(pod.url, { id: 2, k: 'fails once', kind: 'b' }, headers);
  await until(() => traced.sink.ids.length === 1);
  await traced.end(pod);

  const runs = named(traced.collector, 'run pair');
  expect(
    runs.map(({ failed, attributes }) => [
      failed,
      attributes['error.type'],
      attributes['muster.attempt'],
      attributes['muster.outcome'],
    ]),
  ).toEqual([
    [true, 'RangeError', 1, 'again'],
    [false, undefined, 2, 'done'],
  ]);
  expect(new Set(runs.map(({ parentSpanId }) => parentSpanId)).size).toBe(1);
  // The line about the failure and those of the handler carry the ids of their span.
  const ids = pod.log
    .filter(({ msg }) => msg === 'the attempt failed' || msg === 'handling')
    .map((line) => `${line['trace_id'] as string}-${line['span_id'] as string}`);
  expect(ids).toEqual([idOf(runs[0]!), idOf(runs[0]!), idOf(runs[1]!)]);
});

test('each attempt to send an event has its own span, in the trace of its run', async ({
  traced,
}) => {
  const { sink } = traced;
  sink.answer = () => (sink.ids.length === 1 ? 503 : 202);
  const pod = await traced.launch();
  const headers = { traceparent: senderTrace(4).traceparent };
  await post(pod.url, { id: 1, k: 'x', kind: 'a' }, headers);
  await post(pod.url, { id: 2, k: 'x', kind: 'b' }, headers);
  await until(() => sink.ids.length === 2);
  await traced.end(pod);

  const sends = named(traced.collector, 'send pair.handled');
  expect(sends.map(({ failed, attributes }) => [failed, attributes['error.type']])).toEqual([
    [true, '503'],
    [false, undefined],
  ]);
  // The trace context of the event stays the same; only that of the request changes.
  expect(new Set(sink.traceparents.map(({ extension }) => extension)).size).toBe(1);
  expect(new Set(sink.traceparents.map(({ header }) => header)).size).toBe(2);
});

test('an event whose sender is not sampled is neither exported nor stored with a trace', async ({
  db,
  traced,
}) => {
  const pod = await traced.launch();
  const { traceparent } = senderTrace(5, false);
  await post(pod.url, { id: 1, k: 'x', kind: 'a' }, { traceparent });
  await post(pod.url, { id: 2, k: 'x', kind: 'b' }, { traceparent });
  await until(() => traced.sink.ids.length === 1);
  await traced.end(pod);

  expect(traced.collector.spans).toEqual([]);
  expect(
    await db.query('select trace from muster.member union select trace from muster.outbox'),
  ).toEqual([{ trace: null }]);
  expect(traced.sink.traceparents).toEqual([{ extension: undefined, header: undefined }]);
});

test('spans and metrics are exported over gRPC', async ({ traced }) => {
  const pod = await traced.launch({
    OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
    OTEL_EXPORTER_OTLP_ENDPOINT: traced.collector.grpcUrl,
  });
  await post(pod.url, { id: 1, k: 'x', kind: 'a' });
  await traced.end(pod);

  const { contentTypes, spans, metrics } = traced.collector;
  expect(contentTypes).toEqual(new Set(['application/grpc']));
  expect(spans.map(({ name }) => name).toSorted()).toEqual([
    'ingest-changes',
    'process shop.public.item',
  ]);
  expect(metrics.map(({ name }) => name)).toContain('messaging.client.consumed.messages');
});

test('OTEL_TRACES_SAMPLER applies to events without a trace', async ({ traced }) => {
  const pod = await traced.launch({
    OTEL_TRACES_SAMPLER: 'parentbased_always_off',
    OTEL_SERVICE_NAME: 'pairs',
  });
  await post(pod.url, { id: 1, k: 'x', kind: 'a' });
  await post(pod.url, { id: 2, k: 'y', kind: 'a' }, { traceparent: senderTrace(6).traceparent });
  await traced.end(pod);

  expect(traced.collector.spans.map(({ traceId }) => traceId)).toEqual(
    Array(2).fill(senderTrace(6).traceId),
  );
  expect(traced.collector.resource).toMatchObject({ 'service.name': 'pairs' });
});
