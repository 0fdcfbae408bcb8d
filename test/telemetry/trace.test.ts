import { readFileSync } from 'node:fs';
import type { SpanContext, SpanOptions } from '@opentelemetry/api';
import { afterEach, expect, test } from 'vitest';
import { batchSpan, intakeSpan, runSpan, sendSpan } from '../../src/telemetry/spans.ts';
import {
  fromHex,
  parseTraceparent,
  signalsOf,
  toBytea,
  toTraceparent,
  setTracer,
} from '../../src/telemetry/trace.ts';

const EVENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
const OTHER = '00-11111111111111111111111111111111-2222222222222222-01';

/** Replaces the tracer with one that records the arguments that spans would be started with. */
function recordStarts() {
  const starts: { name: string; options: SpanOptions; parent: SpanContext | null }[] = [];
  setTracer({
    start(name, options, parent) {
      starts.push({ name, options, parent });
      return null;
    },
    within: (_span, work) => work(),
    active: () => undefined,
  });
  return starts;
}

afterEach(() => setTracer(null));

test('a traceparent is parsed as specified by W3C Trace Context', () => {
  expect(parseTraceparent(EVENT)).toEqual({
    traceId: '0af7651916cd43dd8448eb211c80319c',
    spanId: 'b7ad6b7169203331',
    traceFlags: 1,
    isRemote: true,
  });
  expect(parseTraceparent(EVENT.replace(/01$/, 'fe'))).toMatchObject({ traceFlags: 0 });
  // a later version, which may have more fields
  expect(parseTraceparent(`01${EVENT.slice(2)}-more`)).toMatchObject({ traceFlags: 1 });
});

test.for([
  '',
  'unknown',
  `${EVENT}-more`,
  EVENT.toUpperCase(),
  `ff${EVENT.slice(2)}`,
  EVENT.slice(0, -1),
  '00-00000000000000000000000000000000-b7ad6b7169203331-01',
  '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01',
])('%j is not a traceparent', (text) => expect(parseTraceparent(text)).toBeNull());

test('a stored context yields its traceparent', () => {
  const stored = toBytea(parseTraceparent(EVENT)!);
  expect(stored).toMatch(/^\\x[\da-f]{48}$/);
  expect(toTraceparent(fromHex(stored.slice(2)))).toBe(EVENT);
});

test.for([
  ['its own, if the request has none', { traceparent: EVENT }, {}, EVENT, undefined],
  ['that of the Kafka header', { kafkaheadertraceparent: EVENT }, {}, EVENT, undefined],
  ['that of the request, if it has none', {}, { traceparent: OTHER }, OTHER, undefined],
  [
    'its own, linked to the request in another trace',
    { traceparent: EVENT },
    { traceparent: OTHER },
    EVENT,
    OTHER,
  ],
  ['none, if neither can be parsed', { traceparent: 'x' }, { traceparent: 'y' }, null, undefined],
] as const)('the parent of an event is %s', ([, attributes, headers, parent, link]) => {
  const [start] = startsOf(() => intakeSpan(attributes, headers));
  expect(start!.parent).toEqual(parent === null ? null : parseTraceparent(parent));
  expect(start!.options.links).toEqual(link && [{ context: parseTraceparent(link) }]);
});

test("the request of a KafkaSource is the parent, because it continues the record's trace", () => {
  const file = new URL('../fixtures/knative/requests/change-event-headers.json', import.meta.url);
  const { requests } = JSON.parse(readFileSync(file, 'utf8')) as {
    requests: { headers: [string, string][] }[];
  };
  const headers = Object.fromEntries(
    requests[0]!.headers.map(([name, value]) => [name.toLowerCase(), value]),
  );
  const attributes = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.replace(/^ce-/, ''), value]),
  );
  const [start] = startsOf(() => intakeSpan({ ...attributes, traceparent: undefined }, headers));
  expect(attributes['kafkaheadertraceparent']).toBe(EVENT);
  expect(start!.parent).toMatchObject({ traceId: EVENT.slice(3, 35), spanId: '2ae06a0479943b0f' });
  expect(start!.name).toBe('process shop.public.orders');
});

test('the span of an event that is not a plain Kafka record has its id and source', () => {
  const attributes = {
    id: 'name:shop;lsn:42',
    source: '/debezium/shop#not-a-topic',
    type: 'io.debezium.connector.postgresql.DataChangeEvent',
    knativekafkapartition: '0',
    knativekafkaoffset: '0',
  };
  const [start] = startsOf(() => intakeSpan(attributes, {}));
  expect(start!.name).toBe('process');
  expect(start!.options.attributes).toMatchObject({
    'messaging.kafka.offset': 0,
    'cloudevents.event_id': attributes.id,
    'cloudevents.event_source': attributes.source,
    'cloudevents.event_type': attributes.type,
  });
});

test('the span of a run is a child of the youngest traced row; without one there is none', () => {
  const lease = { key: 'k', revision: 1, attempt: 1 };
  const [first, second] = [EVENT, OTHER].map((text) => parseTraceparent(text)!);
  const rows = [
    { since: new Date(2), trace: second! },
    { since: new Date(1), trace: first! },
    { since: new Date(3), trace: null },
  ];
  const [start] = startsOf(() => runSpan('pair', lease, rows));
  expect(start!.parent).toEqual(second);
  expect(start!.options.links).toEqual([{ context: second }, { context: first }]);
  expect(startsOf(() => runSpan('pair', lease, rows.slice(2)))).toEqual([]);
});

test('without a tracer no span starts', () => {
  setTracer(null);
  expect(intakeSpan({ traceparent: EVENT }, {})).toBeNull();
  expect(batchSpan([], 0)).toBeNull();
  expect(runSpan('pair', { key: 'k', revision: 1, attempt: 1 }, [])).toBeNull();
  const event = { eventId: 'e', type: 't', attempts: 1, trace: parseTraceparent(EVENT) };
  expect(sendSpan(event, '/muster/pair', undefined)).toBeNull();
});

test.for([
  [{}, false, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318' }, true, true],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://c:4318/v1/traces' }, true, false],
  [{ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: 'http://c:4318/v1/metrics' }, false, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_TRACES_EXPORTER: 'none' }, false, true],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318', OTEL_SDK_DISABLED: 'TRUE' }, false, false],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }, false, false],
] as const)('with %j traces are exported: %s, metrics: %s', ([env, traces, metrics]) => {
  expect(signalsOf(env)).toEqual({ traces, metrics });
});

function startsOf(work: () => unknown) {
  const starts = recordStarts();
  work();
  return starts;
}
