import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect } from 'node:net';
import { describe, expect } from 'vitest';
import { Unavailable, type Outcome } from '../../../src/state/outcome.ts';
import { insert } from '../messages.ts';
import { answerOf, heard, Recorder, test } from '../server.ts';

const change = JSON.stringify(insert);

describe('an event', () => {
  test('that is ingested is answered 204 and logs nothing', async ({ serve }) => {
    const intake = new Recorder();
    const server = await serve(intake);
    expect(await server.post(change)).toEqual({ status: 204, reason: null, body: null });
    expect(intake.ingested).toMatchObject([
      { kind: 'row', stream: 'public.orders', lsn: 24023128n },
    ]);
    expect(server.counted).toEqual(['events ingested']);
    expect(server.logged).toEqual([]);
  });

  test('that no part wants is answered 204', async ({ serve }) => {
    const intake = new Recorder();
    intake.answer = () => Promise.resolve({ kind: 'unwanted' });
    const server = await serve(intake);
    expect(await server.post(change)).toEqual({ status: 204, reason: null, body: null });
    expect(server.counted).toEqual(['events unwanted', 'unwantedTables public.orders']);
  });

  test('is not answered before it is committed', async ({ serve }) => {
    const gate = Promise.withResolvers<Outcome>();
    const reached = Promise.withResolvers<void>();
    const intake = new Recorder();
    intake.answer = () => (reached.resolve(), gate.promise);
    const server = await serve(intake);
    let answered = false;
    const answer = server.post(change).finally(() => (answered = true));
    await reached.promise;
    await fetch(`http://127.0.0.1:${server.port}/`);
    expect(answered).toBe(false);
    gate.resolve({ kind: 'ingested' });
    expect(await answer).toMatchObject({ status: 204 });
  });

  test('that state parks is answered 202', async ({ serve }) => {
    const intake = new Recorder();
    intake.answer = () => Promise.resolve({ kind: 'parked', reason: 'bad-key', detail: 'why' });
    const server = await serve(intake);
    expect(await server.post(change)).toEqual({ status: 202, reason: null, body: null });
    expect(server.counted).toEqual(['parked bad-key']);
  });

  test('that can’t be read is parked and answered 202', async ({ serve }) => {
    const intake = new Recorder();
    const server = await serve(intake);
    expect(await server.post('hello')).toEqual({ status: 202, reason: null, body: null });
    expect(intake.parked).toEqual(['not-a-change: the body is not JSON']);
    expect(server.counted).toEqual(['parked not-a-change']);
  });

  test('of a type that no part names is answered 204, and counted by its type', async ({
    serve,
  }) => {
    const intake = new Recorder();
    const server = await serve(intake);
    // what `func invoke` of Knative sends
    const headers = {
      'ce-type': 'boson.fn',
      'ce-source': '/boson/fn',
      'content-type': 'application/json',
    };
    expect(await server.post('{"message":"Hello World"}', headers)).toMatchObject({ status: 204 });
    expect(intake.ingested).toMatchObject([{ kind: 'event', stream: 'event boson.fn' }]);
    expect(server.counted).toEqual(['events unwanted', 'unwantedTypes boson.fn']);
  });

  test('without a body is a tombstone', async ({ serve }) => {
    const server = await serve(new Recorder());
    expect(await server.post('')).toEqual({ status: 204, reason: null, body: null });
    expect(server.counted).toEqual(['ignored tombstone']);
  });

  test.for(['database', 'draining', 'overload', 'superseded'] as const)(
    'is answered 503 with the reason while state is unavailable: %s',
    async (reason, { serve }) => {
      const intake = new Recorder();
      intake.answer = () => Promise.reject(new Unavailable(reason, 'not now'));
      const server = await serve(intake);
      const body = { error: 'not now', reason };
      expect(await server.post(change)).toEqual({ status: 503, reason, body });
      expect(server.counted).toEqual([`refused ${reason}`]);
      expect(server.logged).toEqual([
        {
          level: 40,
          msg: 'refused',
          status: 503,
          reason,
          error: 'not now',
          source: '/apis/v1/namespaces/shop/kafkasources/orders-source#shop.public.orders',
          id: 'partition:2/offset:7',
          partition: '2',
          offset: '7',
        },
      ]);
    },
  );

  test('is answered 503 on an unexpected error, whose text appears only in the log', async ({
    serve,
  }) => {
    const intake = new Recorder();
    intake.answer = () => Promise.reject(new TypeError('secret'));
    const server = await serve(intake);
    expect(await server.post(change)).toEqual({
      status: 503,
      reason: 'internal',
      body: { error: 'unexpected error, see the log', reason: 'internal' },
    });
    expect(server.logged).toMatchObject([
      { level: 50, reason: 'internal', err: { message: 'secret' } },
    ]);
  });
});

describe('a request that prefers return=representation', () => {
  const prefer = 'return=representation';

  test('gets the sets the change belongs to', async ({ serve }) => {
    const server = await serve(new Recorder());
    const body = { outcome: 'ingested', sets: ['of public.orders'] };
    expect(await server.post(change, { prefer })).toEqual({ status: 200, reason: null, body });
    expect(await server.post(change, { prefer: 'wait=10, return=representation' })).toMatchObject({
      body,
    });
  });

  test('is told why there was nothing to ingest', async ({ serve }) => {
    const server = await serve(new Recorder());
    expect(await server.post('', { prefer })).toEqual({
      status: 200,
      reason: null,
      body: {
        outcome: 'ignored',
        why: 'tombstone',
        detail: expect.stringMatching(/^a tombstone changes nothing: .*handling.mode=rewrite$/),
        sets: [],
      },
    });
    expect(await server.post('{}', { prefer, 'ce-type': 'boson.fn' })).toMatchObject({
      body: {
        outcome: 'unwanted',
        detail: 'changes of tables come in events of type dev.knative.kafka.event or io.debezium.*',
      },
    });
  });

  test('is told why the event was parked', async ({ serve }) => {
    const server = await serve(new Recorder());
    const body = { parked: 'not-a-change', detail: 'the body is not JSON' };
    expect(await server.post('hello', { prefer })).toEqual({ status: 202, reason: null, body });
  });

  test('finds an explanation at GET /', async ({ serve }) => {
    const { port } = await serve(new Recorder());
    const answer = await answerOf(await fetch(`http://127.0.0.1:${port}/`));
    expect(answer).toEqual({
      status: 200,
      reason: null,
      body: expect.stringContaining('POST a CloudEvent'),
    });
  });
});

describe('a connection', () => {
  test('is closed after its share of requests, so that new pods get connections', async ({
    serve,
  }) => {
    const { port } = await serve(new Recorder(), {
      turnover: { requests: 2 },
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const sockets: unknown[] = [];
    for (let sent = 0; sent < 4; sent++) {
      const [response] = await once(get({ port, host: '127.0.0.1', agent }), 'response');
      sockets.push(response.socket);
      await once(response.resume(), 'end');
    }
    agent.destroy();
    const [first, second, third, fourth] = sockets;
    expect([first === second, second === third, third === fourth]).toEqual([true, false, true]);
  });

  test('on which a request arrives while the server closes gets 503 with a reason', async ({
    serve,
  }) => {
    const gate = Promise.withResolvers<Outcome>();
    const reached = Promise.withResolvers<void>();
    const intake = new Recorder();
    intake.answer = () => (reached.resolve(), gate.promise);
    const { app, port } = await serve(intake);
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const answer = heard(socket);
    const request = `POST / HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: dev.knative.kafka.event\r\ncontent-length: ${change.length}\r\n\r\n${change}`;
    socket.write(request);
    await reached.promise;
    const closed = app.close();
    socket.write(request);
    await once(app.server, 'request');
    gate.resolve({ kind: 'ingested' });
    await closed;
    expect((await answer).match(/HTTP\/1.1 \d+|kne-reason: \w+/g)).toEqual([
      'HTTP/1.1 204',
      'HTTP/1.1 503',
      'kne-reason: draining',
    ]);
  });
});
