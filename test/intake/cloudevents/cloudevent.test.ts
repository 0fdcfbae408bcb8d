import { CloudEvent as SDKEvent } from 'cloudevents';
import { expect, test } from 'vitest';
import { readBatch } from '../../../src/intake/cloudevents/batch.ts';
import { readCloudEvents } from '../../../src/intake/cloudevents/cloudevent.ts';
import { type Incoming } from '../../../src/intake/cloudevents/incoming.ts';
import { knativeRequests, lowerCase } from '../fixtures.ts';

const minimal = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/s', 'ce-type': 't' };

/** Headers over the minimal ones; null takes one away. */
type Change = Readonly<Record<string, string | null>>;

const accepted: readonly Change[] = [
  {},
  { 'content-type': 'application/json' },
  { 'content-type': 'no media type' },
  { 'ce-id': 'partition:0/offset:4' },
  { 'ce-id': ' ' },
  { 'ce-type': 'com.example.Order_Placed v2' },
  { 'ce-source': 'https://user@example.com:8080/a/b;c?d=e&f#g' },
  { 'ce-source': 'mailto:cncf-wg-serverless@lists.cncf.io' },
  { 'ce-source': 'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66' },
  { 'ce-source': 'cloudevents/spec/pull/123' },
  { 'ce-source': '1-555-123-4567' },
  { 'ce-source': '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders' },
  { 'ce-source': 'http://[::1]/' },
  { 'ce-source': '#fragment' },
  { 'ce-source': '/a%20b' },
  { 'ce-time': '2026-01-02T03:04:05Z' },
  { 'ce-time': '2026-01-02T03:04:05.678901234Z' },
  { 'ce-time': '2026-01-02t03:04:05z' },
  { 'ce-time': '2026-01-02T03:04:05+05:30' },
  { 'ce-time': '2024-02-29T23:59:59-00:00' },
  { 'ce-time': '2000-02-29T00:00:00Z' },
  { 'ce-time': '0000-12-31T00:00:00Z' },
  { 'ce-subject': 'partition:0#4' },
  { 'ce-dataschema': 'https://example.com/schema' },
  { 'ce-key': '{"id":42}' },
  { 'ce-kafkaheaderempty': '' },
  { 'ce-traceparent': '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
  { 'ce-0': 'digits are a name' },
  { 'ce-averylongattributenameofmorethantwentycharacters': 'x' },
  { 'x-ce-id': 'no attribute', accept: '*/*', ce: 'no attribute' },
];

const refused: readonly [Change, string][] = [
  [{ 'ce-specversion': null }, 'attribute specversion is missing'],
  [{ 'ce-specversion': '' }, 'attribute specversion is not 1.0'],
  [{ 'ce-specversion': '0.3' }, 'attribute specversion is not 1.0'],
  [{ 'ce-specversion': '1.1' }, 'attribute specversion is not 1.0'],
  [{ 'ce-id': null }, 'attribute id is missing'],
  [{ 'ce-id': '' }, 'attribute id is empty'],
  [{ 'ce-type': null }, 'attribute type is missing'],
  [{ 'ce-type': '' }, 'attribute type is empty'],
  [{ 'ce-source': null }, 'attribute source is missing'],
  [{ 'ce-source': '' }, 'attribute source is empty'],
  [{ 'ce-source': 'a b' }, 'attribute source is not a URI reference'],
  [{ 'ce-source': '/a%2' }, 'attribute source is not a URI reference'],
  [{ 'ce-source': '/a#b#c' }, 'attribute source is not a URI reference'],
  [{ 'ce-source': '/ü' }, 'attribute source is not a URI reference'],
  [{ 'ce-source': '<a>' }, 'attribute source is not a URI reference'],
  [{ 'ce-time': '' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': 'nope' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-01-02' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-13-02T03:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-02-30T03:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2025-02-29T03:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '1900-02-29T03:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-04-31T03:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-01-02T24:04:05Z' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '2026-01-02T03:04:05' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-time': '1767323045678' }, 'attribute time is not in RFC 3339'],
  [{ 'ce-subject': '' }, 'attribute subject is empty'],
  [{ 'ce-dataschema': '' }, 'attribute dataschema is empty'],
  [{ 'ce-foo_bar': 'x' }, '"foo_bar" is not a valid attribute name'],
  [{ 'ce-a-b': 'x' }, '"a-b" is not a valid attribute name'],
  [{ 'ce-': 'x' }, '"" is not a valid attribute name'],
  [{ 'ce-data': 'x' }, '"data" is not a valid attribute name'],
];

/**
 * Where the reader is stricter than the SDK. It does not make up what must be there (specversion, id;
 * a time that is empty or in no zone), and keeps the name `data` for the data.
 */
const stricter: readonly Change[] = [
  { 'ce-specversion': null },
  { 'ce-specversion': '' },
  { 'ce-id': null },
  { 'ce-id': '' },
  { 'ce-time': '' },
  { 'ce-time': '2026-01-02T03:04:05' },
  { 'ce-data': 'x' },
];
/** Where it is looser: a URI is told by its characters. Nothing is decided by it. */
const looser: readonly Change[] = [{ 'ce-source': 'a[b' }, { 'ce-dataschema': 'a b' }];

test.for(accepted)('%j is a CloudEvent, and one to the SDK', (change) => {
  const headers = over(change);
  expect(readCloudEvents(headers, Buffer.from('{}'))).toEqual({
    kind: 'event',
    event: {
      type: headers['ce-type'],
      attributes: attributesIn(headers),
      contentType: headers['content-type'] ?? null,
      body: Buffer.from('{}'),
      data: undefined,
    },
  });
  expect(sdkAccepts(headers)).toBe(true);
});

test.for(refused)('%j is not a CloudEvent: %s', ([change, why]) => {
  const headers = over(change);
  expect(withoutExample(readCloudEvents(headers, Buffer.from('{}')))).toEqual({
    kind: 'none',
    why: `${why} in the ce- headers`,
  });
  expect(sdkAccepts(headers)).toBe(isIn(stricter, change));
});

test.for(looser)('%j is valid here and not with the SDK', (change) => {
  const headers = over(change);
  expect(readCloudEvents(headers, Buffer.from('{}')).kind).toBe('event');
  expect(sdkAccepts(headers)).toBe(false);
});

const odd = ['ce-batch', 'ce-binary-specversion-0.3'];
test.for(knativeRequests.filter(({ name }) => !odd.includes(name)))(
  'KafkaSource’s $name is read completely',
  ({ headers: sent, body }) => {
    const headers = lowerCase(sent);
    const contentType = headers['content-type'] ?? null;
    const attributes = attributesIn(headers);
    expect(readCloudEvents(headers, body)).toEqual({
      kind: 'event',
      event: { type: attributes['type'], attributes, contentType, body, data: undefined },
    });
    expect(sdkAccepts(headers)).toBe(true);
  },
);

test('a CloudEvent of another version, which KafkaSource passes on, is parked', () => {
  const { headers, body } = knativeRequests.find(({ name }) => name === odd[1])!;
  const incoming = readCloudEvents(lowerCase(headers), body);
  expect(incoming.kind === 'bad' && incoming.element).toMatchObject({
    origin: { attributes: { id: 'evt-1', specversion: '0.3' }, body },
    why: expect.stringMatching(/^attribute specversion is not 1.0 in the ce- headers/),
  });
});

/** Attributes of an event in structured mode, as those in headers; null takes one away. */
test.for([...accepted, ...looser, ...refused.map(([change]) => change)])(
  '%j gets the same answer in structured mode',
  (change) => {
    const headers = over(change);
    const attributes = attributesIn(headers);
    const structured = { 'content-type': 'application/cloudevents+json' };
    const body = Buffer.from(JSON.stringify(attributes).replace(/"data":"x"/, '"Data":"x"'));
    expect(readCloudEvents(structured, body).kind).toBe(
      readCloudEvents(headers, Buffer.from('{}')).kind,
    );
  },
);

test('a batch, which KafkaSource passes on unchanged, is read event by event', async () => {
  const { headers, body } = knativeRequests.find(({ name }) => name === odd[0])!;
  const incoming = readCloudEvents(lowerCase(headers), body);
  expect(incoming.kind === 'batch' && (await readBatch(incoming.batch))).toMatchObject([
    { type: 'com.example.order.placed', attributes: { id: 'evt-1', knativekafkaoffset: '18' } },
    { type: 'com.example.order.placed', attributes: { id: 'evt-2', knativekafkaoffset: '18' } },
  ]);
});

test('a repeated type is not taken for an unknown type', () => {
  const type = 'dev.knative.kafka.event';
  const headers = { ...minimal, 'ce-type': `${type}, ${type}` };
  expect(readCloudEvents(headers, Buffer.from('{}'))).toMatchObject({
    kind: 'bad',
    element: { why: expect.stringMatching(/^attribute type is there twice in the ce- headers/) },
  });
});

test('a CloudEvent in a body with another content type gets a hint', () => {
  const body = Buffer.from(
    JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't' }),
  );
  expect(readCloudEvents({ 'content-type': 'application/json' }, body)).toEqual({
    kind: 'none',
    why: 'attribute specversion is missing in the ce- headers (the body looks like a CloudEvent: its content type is application/cloudevents+json, that of a batch application/cloudevents-batch+json)',
  });
});

test('a request without CloudEvents attributes gets an example', () => {
  expect(readCloudEvents({ 'content-type': 'application/json' }, Buffer.from('{}'))).toEqual({
    kind: 'none',
    why: expect.stringMatching(
      /^attribute specversion is missing in the ce- headers \(e\.g\. curl -H /,
    ),
  });
});

function over(change: Change): Record<string, string> {
  const headers: [string, string][] = [];
  for (const [name, value] of Object.entries({ ...minimal, ...change })) {
    if (value !== null) headers.push([name, value]);
  }
  return Object.fromEntries(headers);
}

function attributesIn(headers: Readonly<Record<string, string>>): Record<string, string> {
  const found = Object.entries(headers).filter(([name]) => name.startsWith('ce-'));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(3), value]));
}

/** By the SDK's own validation: HTTP.toEvent leaves it out, and puts the time of day in place of a bad time. */
function sdkAccepts(headers: Record<string, string>): boolean {
  try {
    return new SDKEvent(attributesIn(headers)).validate();
  } catch {
    return false;
  }
}

function withoutExample(incoming: Incoming): Incoming {
  return incoming.kind === 'none'
    ? { ...incoming, why: incoming.why.replace(/ \(e\.g\..*/, '') }
    : incoming;
}

function isIn(list: readonly Change[], change: Change): boolean {
  return list.some((other) => JSON.stringify(other) === JSON.stringify(change));
}
