import { readdirSync, readFileSync } from 'node:fs';
import { expect, test as base } from 'vitest';
import {
  backoff,
  DEFAULT_DELIVERY,
  type Delivery,
  Sender,
  toDeadLetter,
} from '../../dev/kafka-source/delivery.ts';
import { type EventOptions, type KafkaRecord, toEvent } from '../../dev/kafka-source/event.ts';
import { Offsets } from '../../dev/kafka-source/offsets.ts';
import { startRawSink, type RawAnswer, type RawSink } from './support/raw-sink.ts';

const test = base.extend<{ sink: RawSink; deadLetters: RawSink }>({
  sink: async ({}, use) => {
    const sink = await startRawSink();
    await use(sink);
    sink.close();
  },
  deadLetters: async ({}, use) => {
    const sink = await startRawSink();
    await use(sink);
    sink.close();
  },
});

const FOLDER = 'test/fixtures/knative/requests';
const NAMES = readdirSync(FOLDER).map((file) => file.replace('.json', ''));
const DELIVERY = JSON.parse(readFileSync('test/fixtures/knative/delivery.json', 'utf8'));
const UNAVAILABLE: RawAnswer = {
  status: 503,
  headers: { 'kne-reason': 'db-down' },
  body: '{"error":"db unavailable"}',
};
const quick: Delivery = { ...DEFAULT_DELIVERY, retry: 2, backoffDelay: 1 };

type Text = string | { readonly base64: string } | null;

function bytesOf(text: Text): Buffer | null {
  if (text === null) return null;
  return typeof text === 'string' ? Buffer.from(text) : Buffer.from(text.base64, 'base64');
}

/** A recorded record, the options of its source, and the request it sent. */
function fixture(name: string) {
  const { record, requests } = JSON.parse(readFileSync(`${FOLDER}/${name}.json`, 'utf8'));
  const options: EventOptions = {
    namespace: 'shop',
    name: 'orders-source',
    ...(name === 'key-type-int' && { keyType: 'int' }),
    ...(name === 'key-type-byte-array' && { keyType: 'byte-array' }),
    ...(name === 'override-extension' && { extensions: { tenant: 'acme' } }),
  };
  const read: KafkaRecord = {
    ...record,
    offset: String(record.offset),
    key: bytesOf(record.key),
    value: bytesOf(record.value),
    headers: record.headers.map(([header, value]: [string, Text]) => [header, bytesOf(value)]),
  };
  return { record: read, options, requests: requests as Recorded[] };
}

interface Recorded {
  readonly method: string;
  readonly target: string;
  readonly headers: [string, string][];
  readonly body: string;
  readonly bodyBase64?: string;
}

/** The request as Latin-1; the random span id of the sender is masked. */
function wire({ method, target, headers, body, bodyBase64 }: Recorded, host: string): string {
  const lines = headers.map(([name, value]) => `${name}: ${name === 'host' ? host : value}`);
  const bytes = bodyBase64 === undefined ? Buffer.from(body) : Buffer.from(bodyBase64, 'base64');
  const head = [`${method} ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n');
  return hideSpan(head + bytes.toString('latin1'));
}

function hostOf({ url }: RawSink): string {
  return new URL(url).host;
}

function hideSpan(request: string): string {
  return request.replace(/(\r\ntraceparent: 00-[0-9a-f]{32}-)[0-9a-f]{16}/, '$1span');
}

test.for(NAMES)('a record is sent as the bytes a KafkaSource sends: %s', async (name, { sink }) => {
  const { record, options, requests } = fixture(name);
  const sender = new Sender(options.namespace, quick);
  const traceparent = record.headers.find(([each]) => each === 'traceparent')?.[1].toString();
  const [first] = requests;
  const target = `${sink.url}${first!.target}`;
  expect(await sender.send(target, toEvent(record, options), traceparent)).toBe(null);
  sender.stop();

  expect(sink.requests.map(hideSpan)).toEqual([wire(first!, new URL(sink.url).host)]);
});

test.for([
  ['dead-letter-503', 503],
  ['dead-letter-422', 422],
] as const)(
  'an event whose delivery failed is sent to the dead-letter sink as by Knative: %s',
  async ([name, status], { sink, deadLetters }) => {
    const { record, options, requests } = fixture(name);
    const answer = { ...UNAVAILABLE, status } as RawAnswer;
    sink.answers.push(answer, answer, answer);
    const sender = new Sender(options.namespace, quick);
    const event = toEvent(record, options);
    const failure = await sender.send(sink.url, event);
    const dead = toDeadLetter(event, {
      ...failure!,
      sink: 'http://dispatcher.shop.svc.cluster.local',
    });
    expect(await sender.send(deadLetters.url, dead)).toBe(null);
    sender.stop();

    expect([...sink.requests, ...deadLetters.requests]).toEqual([
      ...requests.slice(0, -1).map((each) => wire(each, hostOf(sink))),
      wire(requests.at(-1)!, hostOf(deadLetters)),
    ]);
  },
);

test.for(DELIVERY.retried.filter(Number.isInteger) as number[])(
  'answer %i is retried until the retries are exhausted',
  async (status, { sink }) => {
    sink.answers.push({ status }, { status }, { status });
    const { record, options } = fixture('json-key');
    const sender = new Sender(options.namespace, quick);
    const failure = await sender.send(sink.url, toEvent(record, options));
    sender.stop();

    expect([failure?.answer?.status, sink.requests.length, sender.retries]).toEqual([status, 3, 2]);
    expect(new Set(sink.requests).size).toBe(1);
  },
);

test.for(DELIVERY.final as number[])('answer %i is final', async (status, { sink }) => {
  sink.answers.push({ status });
  const { record, options } = fixture('json-key');
  const sender = new Sender(options.namespace, quick);
  const failure = await sender.send(sink.url, toEvent(record, options));
  sender.stop();

  expect([failure?.answer?.status, sink.requests.length]).toEqual([status, 1]);
});

test('a broken connection is retried, and its failure has no answer', async ({ sink }) => {
  sink.answers.push('cut', 'cut', 'cut');
  const { record, options } = fixture('json-key');
  const sender = new Sender(options.namespace, quick);
  const failure = await sender.send(sink.url, toEvent(record, options));
  sender.stop();

  expect(failure).toMatchObject({ sink: sink.url, answer: null });
  expect(sink.requests.length).toBe(3);
  const dead = toDeadLetter(toEvent(record, options), failure!);
  expect([...dead.extensions.keys()].filter((name) => name.startsWith('knativeerror'))).toEqual([
    'knativeerrordest',
  ]);
});

test('a timed-out request is retried', async ({ sink }) => {
  const never = Promise.withResolvers<RawAnswer>();
  sink.answers.push(never.promise);
  const { record, options } = fixture('json-key');
  const sender = new Sender(options.namespace, { ...quick, timeout: 20 });
  expect(await sender.send(sink.url, toEvent(record, options))).toBe(null);
  sender.stop();
  expect(sink.requests.length).toBe(2);
});

function waits(delivery: Delivery, n: number): number[] {
  return Array.from({ length: n }, (_, at) => backoff(delivery, at + 1));
}

test('delays grow as measured', () => {
  expect(waits({ ...DEFAULT_DELIVERY, backoffDelay: 200 }, 3)).toEqual([400, 800, 1600]);
  expect(waits({ ...DEFAULT_DELIVERY, backoffDelay: 200, backoffPolicy: 'linear' }, 3)).toEqual([
    200, 400, 600,
  ]);
  const sum = waits(DEFAULT_DELIVERY, DEFAULT_DELIVERY.retry).reduce((a, b) => a + b);
  expect(sum).toBe(613_800);
});

test('an event in flight holds back the commit of later ones', () => {
  const offsets = new Offsets();
  const [first, second, third] = ['7', '8', '10'].map((offset) => offsets.start(offset));
  expect(offsets.committable).toBe(null);
  second!();
  expect(offsets.committable).toBe(null);
  first!();
  expect(offsets.committable).toBe(9n);
  third!();
  expect(offsets.committable).toBe(11n);
});

test('a CloudEvent with an invalid attribute name is forwarded whole, like any other record', () => {
  // CloudEventsConverter writes iodebeziumtxId; the Java SDK accepts only lower-case names
  const path = 'test/fixtures/debezium/cloudevents-content-type/04-insert.c.json';
  const { wire: bytes, headers } = JSON.parse(readFileSync(path, 'utf8'));
  const value = Buffer.from(bytes.value);
  const entries = Object.entries(headers as Record<string, string>);
  const record: KafkaRecord = {
    ...fixture('json-key').record,
    value,
    headers: entries.map(([name, text]) => [name, Buffer.from(text)]),
  };
  const { attributes, data } = toEvent(record, { namespace: 'shop', name: 'orders-source' });
  expect(attributes.get('type')).toBe('dev.knative.kafka.event');
  expect(attributes.get('datacontenttype')).toBe('application/cloudevents+json; charset=utf-8');
  expect(data).toBe(value);
});

test('numbers in the data of a CloudEvent keep their notation', () => {
  const value = Buffer.from(
    '{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"lsn":9223372036854775807, "x":1.0}}',
  );
  const headers = [['content-type', Buffer.from('application/cloudevents+json')]] as const;
  const record = { ...fixture('json-key').record, value, headers };
  const { data } = toEvent(record, { namespace: 'shop', name: 'orders-source' });
  expect(data?.toString()).toBe('{"lsn":9223372036854775807,"x":1.0}');
});
