import { CloudEvent, emitterFor, HTTP, httpTransport, Mode } from 'cloudevents';
import { expect, onTestFinished } from 'vitest';
import { defineFunction } from '../../src/function.ts';
import { readRecord } from '../../src/intake/cloudevents/kafka-record.ts';
import { EventIngestor } from '../../src/intake/ingest.ts';
import { serverOn, type TestEngine } from '../support/engine.ts';
import { setsOf } from '../support/state.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { answerOf } from './server.ts';

const orders = defineFunction({
  name: 'orders',
  parts: {
    paid: { event: 'com.shop.paid', key: 'data.order', columns: ['data.amount'] },
    sent: { event: 'com.shop.sent', key: 'subject' },
    label: { topic: 'labels', key: 'order' },
  },
  handle() {},
});

type Served = TestEngine & { readonly url: string };

async function served(db: TestDatabase): Promise<Served> {
  const server = await serverOn(db, [orders]);
  onTestFinished(() => server.stop());
  return server;
}

const paid = (id: string, order: unknown) =>
  new CloudEvent({ id, source: '/shop', type: 'com.shop.paid', data: { order, amount: 3 } });

const structured = (id: string, rest: string) =>
  `{"specversion":"1.0","id":"${id}","source":"/s","type":"com.shop.paid",${rest}}`;
const pulled = (offset: number, value: Buffer | null) =>
  readRecord({ topic: 'labels', partition: 3, offset, value, headers: {} });
/** The text as Node writes and reads a header whose bytes are UTF-8. */
const utf8 = (text: string) => Buffer.from(text).toString('latin1');
const membersOf = (db: TestDatabase) =>
  db.query<{ id: string; columns: object }>('select id, columns from muster.member order by id');

test('events that the SDK sends in binary and structured mode are the same event', async ({
  db,
}) => {
  const { url } = await served(db);
  for (const mode of [Mode.BINARY, Mode.STRUCTURED]) {
    const emit = emitterFor(httpTransport(url), { binding: HTTP, mode });
    const answer = await emit(paid('1', 4711));
    expect(answer).toMatchObject({ body: '' });
    const rest = { id: '2', source: '/shop', subject: '4711', data: {} };
    await emit(new CloudEvent({ type: 'com.shop.sent', ...rest }));
  }
  expect(await setsOf(db, 3)).toEqual([{ key: '4711', counts: [1, 1, 0], fresh: 2 }]);
  expect(await membersOf(db)).toMatchObject([
    { id: '["/shop","1"]', columns: { 'data.order': 4711, 'data.amount': 3 } },
    { id: '["/shop","2"]' },
  ]);
});

test('the events of a batch are parts, and one that can not be read is parked alone', async ({
  db,
}) => {
  const { url } = await served(db);
  const texts = [paid('1', 'a'), paid('2', 'b'), paid('3', undefined)].map(
    (each) => HTTP.structured(each).body as string,
  );
  const post = (prefer: string) =>
    fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/cloudevents-batch+json', prefer },
      body: `[${texts.join(',')}]`,
    }).then(answerOf);
  // what a Broker's dispatcher prefers: a body that is no event would be a failure
  expect(await post('reply')).toEqual({ status: 202, reason: null, body: null });
  expect(await post('return=representation')).toMatchObject({
    status: 202,
    body: { parked: [{ index: 2, id: '3', parked: 'bad-event' }] },
  });
  expect(await setsOf(db, 1)).toMatchObject([{ key: 'a' }, { key: 'b' }]);
});

test('an answer has no body unless the sender prefers one', async ({ db }) => {
  const { url } = await served(db);
  const send = (type: string, prefer: string, data = '{}') =>
    fetch(url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': '1',
        'ce-source': '/me',
        'ce-type': type,
        'content-type': 'application/json',
        prefer,
      },
      body: data,
    }).then(answerOf);
  expect(await send('com.shop.paid', 'reply')).toEqual({ status: 202, reason: null, body: null });
  expect(await send('com.shop.paid', 'reply', '{"order":1}')).toMatchObject({ status: 204 });
  expect(await send('com.shop.other', 'reply')).toMatchObject({ status: 204, body: null });
  expect(await send('com.shop.paid', 'return=representation')).toMatchObject({
    status: 202,
    body: {
      parked: 'bad-event',
      detail: 'data.order is not in the event com.shop.paid; part paid of orders names it',
    },
  });
  expect(await send('com.shop.other', 'return=representation')).toEqual({
    status: 200,
    reason: null,
    body: {
      outcome: 'unwanted',
      sets: [],
      why: 'no function that is served here names the event com.shop.other, only event com.shop.paid, event com.shop.sent, topic labels',
      detail: 'changes of tables come in events of type dev.knative.kafka.event or io.debezium.*',
    },
  });
});

test('integers beyond 2^53 are exact in each mode, and data may be base64', async ({ db }) => {
  const { url } = await served(db);
  const data = '{"order": 9007199254740993, "amount": 1e400}';
  const post = (contentType: string, body: string) =>
    fetch(url, { method: 'POST', headers: { 'content-type': contentType }, body });
  await post('application/cloudevents+json', structured('1', `"data":${data}`));
  const base64 = Buffer.from(data.replace('993', '995')).toString('base64');
  await post('application/cloudevents+json', structured('2', `"data_base64":"${base64}"`));
  const broken = await post('application/cloudevents+json', structured('3', `"data_base64":"-"`));
  expect(broken.status).toBe(202);
  expect(await db.query('select detail from muster.parked')).toEqual([
    {
      detail: expect.stringMatching(/^data_base64 is not base64 .* part paid of orders names it$/),
    },
  ]);
  expect((await setsOf(db, 1)).map(({ key }) => key)).toEqual([
    '9007199254740993',
    '9007199254740995',
  ]);
});

/** Sends events of one type in binary mode, whose headers are sent as they are given. */
const sender =
  (url: string) =>
  (id: string, subject: string, more: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-id': id,
        'ce-source': '/me',
        'ce-type': 'com.shop.sent',
        'ce-subject': subject,
        ...more,
      },
    });

test('an attribute in a header is decoded, except that of a dispatcher, which does not encode', async ({
  db,
}) => {
  const { url } = await served(db);
  const send = sender(url);
  await send('1', 'caf%C3%A9%20%25');
  await send('2', '50%25', { 'ce-knativekafkaoffset': '1' });
  await send('3', '100% %41');
  await send('4', '100%');
  await send('%34', 'another id');
  expect((await setsOf(db, 1)).map(({ key }) => key).toSorted()).toEqual([
    '100%',
    '100% %41',
    '50%25',
    'another id',
    'café %',
  ]);
});

test('an attribute that is UTF-8 in a header is read as that, and otherwise as Latin-1', async ({
  db,
}) => {
  const { url } = await served(db);
  const send = sender(url);
  await send('1', utf8('café 50%25'));
  await send(utf8('zwölf'), utf8('日本'));
  await send('3', '\xe9t\xe9');
  // a dispatcher of Kafka sends Latin-1
  await send('4', utf8('dispatched é'), { 'ce-knativekafkaoffset': '1' });
  expect((await setsOf(db, 1)).map(({ key }) => key).toSorted()).toEqual([
    'café 50%25',
    utf8('dispatched é'),
    'été',
    '日本',
  ]);
  expect((await membersOf(db)).map(({ id }) => id)).toContain('["/me","zwölf"]');
});

test('a record that was a dead letter is the record that it was before', async ({ db }) => {
  const { url } = await served(db);
  const post = (id: string, offset: string) =>
    fetch(url, {
      method: 'POST',
      headers: {
        'ce-specversion': '1.0',
        'ce-type': 'dev.knative.kafka.event',
        'ce-source': '/apis/v1/namespaces/shop/kafkasources/all#labels',
        'ce-id': id,
        // the place of the dead letter
        'ce-knativekafkapartition': '0',
        'ce-knativekafkaoffset': offset,
      },
      body: '{"order": "x"}',
    });
  await post('partition:0/offset:5', '5');
  await post('partition:2/offset:77', '5');
  expect((await membersOf(db)).map(({ id }) => id)).toEqual(['["0","5"]', '["2","77"]']);
});

test('an event whose type is encoded in its header is of that type', async ({ db }) => {
  const cafe = defineFunction({
    name: 'cafe',
    parts: { paid: { event: 'com.café.paid', key: 'subject' } },
    handle() {},
  });
  const server = await serverOn(db, [cafe]);
  onTestFinished(() => server.stop());
  const headers = {
    'ce-specversion': '1.0',
    'ce-id': '1',
    'ce-source': '/me',
    'ce-type': 'com.caf%C3%A9.paid',
    'ce-subject': 'x',
  };
  await fetch(server.url, { method: 'POST', headers });
  expect(await membersOf(db)).toMatchObject([{ id: '["/me","1"]' }]);
});

test('records of a topic are parts over a KafkaSource and from Kafka, and the same ones', async ({
  db,
}) => {
  const server = await served(db);
  const body = '{"order": "x", "op": "c", "source": {}, "after": {}}';
  const answer = await fetch(server.url, {
    method: 'POST',
    headers: {
      'ce-specversion': '1.0',
      'ce-type': 'dev.knative.kafka.event',
      'ce-source': '/apis/v1/namespaces/shop/kafkasources/all#labels',
      'ce-id': 'partition:3/offset:8',
    },
    body,
  });
  expect(answer.status).toBe(204);
  const counted: string[] = [];
  const ingestor = new EventIngestor(server.ingestor, (name, labels) =>
    counted.push([name, ...Object.values(labels)].join(' ')),
  );
  await ingestor.ingestRecord(pulled(8, Buffer.from(body)), {});
  await ingestor.ingestRecord(pulled(9, null), {});
  await ingestor.ingestRecord(pulled(10, Buffer.from('hello')), {});
  expect(counted).toEqual(['events ingested', 'ignored tombstone', 'parked bad-event']);
  expect(await membersOf(db)).toMatchObject([{ id: '["3","8"]' }]);
  expect(await db.query('select detail from muster.parked')).toEqual([
    { detail: 'the data is not JSON; part label of orders names it' },
  ]);
});

test('types that no function names are counted by name up to a limit, and then together', async ({
  db,
}) => {
  const server = await served(db);
  const emit = emitterFor(httpTransport(server.url), { binding: HTTP, mode: Mode.BINARY });
  for (let i = 0; i < 52; i++) {
    await emit(new CloudEvent({ id: '1', source: '/s', type: `com.shop.other.${i}`, data: {} }));
  }
  const { values } = await server.metrics.registry
    .getSingleMetric('muster_events_unwanted_type_total')!
    .get();
  expect(values).toHaveLength(51);
  expect(values.find(({ labels }) => labels['type'] === 'other')).toMatchObject({ value: 2 });
});
