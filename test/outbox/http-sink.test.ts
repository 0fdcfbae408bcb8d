import Fastify from 'fastify';
import { expect, onTestFinished, test } from 'vitest';
import { httpSink } from '../../src/outbox/http-sink.ts';
import type { SinkEvent } from '../../src/outbox/sink.ts';
import { sinkServer } from '../support/sink.ts';

const { signal } = new AbortController();

const eventOf = (more: Partial<SinkEvent> = {}): SinkEvent => ({
  id: 'pair/x/1/0',
  key: 'x',
  source: '/muster/pair',
  type: 'pair.done',
  subject: 'x',
  time: new Date(0),
  data: '{"n":1}',
  ...more,
});

test("integers beyond 2^53 are sent with the handler's digits", async () => {
  const server = await sinkServer();
  const sink = httpSink(server.url, {});
  const data = '{"id":9007199254740993,"more":[9007199254740993,1.5,"x",null]}';
  const sent = { kind: 'sent', status: 202 };
  expect(await sink.send(eventOf({ data }), signal)).toEqual(sent);
  expect(await sink.send(eventOf({ data, type: 'erledigt für x' }), signal)).toEqual(sent);
  expect(server.modes).toEqual(['binary', 'structured']);
  expect(server.bodies[0]).toBe(data);
  expect(server.bodies[1]).toContain(`"data":${data}`);
});

// A receiver may misread these, or they do not fit into a header.
const TEXTS = [
  'Łódź',
  '渋谷',
  '5 €',
  'naïve 🚋',
  'Zürich',
  'a b',
  '50% off',
  '100%',
  'say "hi"',
  '"x"',
  ' x ',
];

test.for([...TEXTS, 'two\nlines', 'a\tb', '["r","[0,60)"]'])(
  'the subject and the type %j are read by the SDK as they were given',
  async (text) => {
    const server = await sinkServer();
    const sink = httpSink(server.url, { region: 'eu1' });
    await sink.send(eventOf({ subject: text }), signal);
    await sink.send(eventOf({ type: text }), signal);
    expect(server.modes).toEqual(['structured', 'structured']);
    const { subject, type, source, region, data, id, time } = server.events[0]!;
    expect({ subject, type, source, region, data, id, time }).toEqual({
      subject: text,
      type: 'pair.done',
      source: '/muster/pair',
      region: 'eu1',
      data: { n: 1 },
      id: 'pair/x/1/0',
      time: '1970-01-01T00:00:00.000Z',
    });
    expect(server.events[1]!.type).toBe(text);
  },
);

test('an extension that is not valid in a header is sent in a structured event', async () => {
  const server = await sinkServer();
  expect(await httpSink(server.url, { city: 'Łódź' }).send(eventOf(), signal)).toMatchObject({
    kind: 'sent',
  });
  expect(server.modes).toEqual(['structured']);
  expect(server.events[0]).toMatchObject({ city: 'Łódź', subject: 'x' });
});

test('an attribute that is too long for headers is sent in a structured event', async () => {
  const server = await sinkServer();
  const sink = httpSink(server.url, {});
  await sink.send(eventOf({ subject: 'x'.repeat(1024) }), signal);
  await sink.send(eventOf({ subject: 'x'.repeat(100_000) }), signal);
  expect(server.modes).toEqual(['binary', 'structured']);
  expect(server.events[1]!.subject).toHaveLength(100_000);
});

test('an event whose attributes are plain is binary', async () => {
  const server = await sinkServer();
  await httpSink(server.url, {}).send(eventOf({ subject: "a~b!'()*/?#[]@:;,&=+$^|\\" }), signal);
  expect(server.modes).toEqual(['binary']);
  expect(server.events[0]!.subject).toBe("a~b!'()*/?#[]@:;,&=+$^|\\");
});

test('an empty subject is omitted, because an attribute may not be empty', async () => {
  const server = await sinkServer();
  expect(await httpSink(server.url, {}).send(eventOf({ subject: '' }), signal)).toMatchObject({
    kind: 'sent',
  });
  expect(server.events[0]!.subject).toBeUndefined();
});

test.for(['"a text"', '1', 'true', 'null', '[]'])('the data %s is sent as JSON', async (data) => {
  const server = await sinkServer();
  await httpSink(server.url, {}).send(eventOf({ data }), signal);
  expect(server.bodies).toEqual([data]);
  expect(server.modes).toEqual(['binary']);
});

test('a server that parses JSON strictly accepts an event without data', async () => {
  const app = Fastify();
  const seen: unknown[] = [];
  app.post('/', (request) => {
    seen.push([request.headers['content-type'], request.headers['ce-id'], request.body]);
    return 'taken';
  });
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => app.close());
  expect(await httpSink(url, {}).send(eventOf({ data: null }), signal)).toMatchObject({
    kind: 'sent',
  });
  expect(seen).toEqual([[undefined, 'pair/x/1/0', undefined]]);
});

test('a redirect is not followed, and the error names its target', async () => {
  const app = Fastify();
  app.post('/', (_request, reply) => reply.redirect('https://sink.example/in?token=secret', 308));
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  onTestFinished(() => app.close());
  expect(await httpSink(url, {}).send(eventOf(), signal)).toEqual({
    kind: 'blocked',
    error: `${url} answered 308, which leads to https://sink.example/in; redirects are not followed`,
    status: 308,
  });
});

test('an event is retried if it is not answered in time, or before the process stops', async () => {
  const server = await sinkServer();
  server.answer = () => null;
  expect(await httpSink(server.url, {}, 50).send(eventOf(), signal)).toMatchObject({
    kind: 'again',
    error: expect.stringContaining('timeout') as string,
  });
  const stopping = new AbortController();
  const sending = httpSink(server.url, {}).send(eventOf(), stopping.signal);
  stopping.abort(new Error('the process stops'));
  expect(await sending).toEqual({ kind: 'again', error: `${server.url}: the process stops` });
});
