import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'vitest';
import type { Outcome } from '../../../src/state/outcome.ts';
import { insert } from '../messages.ts';
import { heard, Recorder, speak, test } from '../server.ts';

const change = JSON.stringify(insert);
const attributes =
  'ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: dev.knative.kafka.event\r\n';
const head = `POST / HTTP/1.1\r\nhost: x\r\n${attributes}`;
const request = `${head}content-length: ${change.length}\r\n\r\n${change}`;

/** Statuses and reasons, in the order in which they came. */
function words(text: string): string[] {
  return text.match(/HTTP\/1.1 \d+|kne-reason: [\w-]+/g) ?? [];
}

/** An intake that answers its first event when the test lets it. */
function gated() {
  const gate = Promise.withResolvers<Outcome>();
  const reached = Promise.withResolvers<void>();
  const intake = new Recorder();
  intake.answer = () => (reached.resolve(), gate.promise);
  return { intake, reached: reached.promise, open: () => gate.resolve({ kind: 'ingested' }) };
}

async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

test('a request without Host is refused with a reason and counted', async ({ serve }) => {
  const server = await serve(new Recorder());
  const answer = await speak(
    server.port,
    'POST / HTTP/1.1\r\nconnection: close\r\nce-knativekafkaoffset: 7\r\n\r\n',
  );
  expect(words(answer)).toEqual(['HTTP/1.1 400', 'kne-reason: bad-request']);
  expect(answer).toContain('no header Host, which HTTP/1.1 requires');
  expect(server.counted).toEqual(['refused bad-request']);
  expect(server.logged).toMatchObject([{ msg: 'refused', status: 400, offset: '7' }]);
});

test('an expectation that can’t be met is refused with a reason and counted', async ({ serve }) => {
  const server = await serve(new Recorder());
  const answer = await speak(
    server.port,
    `${head}expect: a-miracle\r\ncontent-length: 2\r\n\r\n{}`,
  );
  expect(words(answer)).toEqual(['HTTP/1.1 417', 'kne-reason: expectation-failed']);
  expect(answer).toContain('may ask for 100-continue, not for a-miracle');
  expect(server.counted).toEqual(['refused expectation-failed']);
});

test('a sender that expects 100-continue is told to continue', async ({ serve }) => {
  const server = await serve(new Recorder());
  const socket = await open(server.port);
  const answer = heard(socket);
  socket.write(`${head}expect: 100-continue\r\ncontent-length: ${change.length}\r\n\r\n`);
  await once(socket, 'data');
  socket.write(change);
  expect(words(await answer)).toEqual(['HTTP/1.1 100', 'HTTP/1.1 204']);
});

test('a sender that expects 100-continue sends no body that would be refused, and the next bytes are not taken for one', async ({
  serve,
}) => {
  const server = await serve(new Recorder());
  const answer = await speak(
    server.port,
    `${head}expect: 100-continue\r\ncontent-length: 17825792\r\n\r\n`,
  );
  expect(words(answer)).toEqual(['HTTP/1.1 413', 'kne-reason: too-large']);
  expect(answer).toMatch(/\r\nconnection: close\r\n/i);
});

test('HTTP/1.0 requires a Content-Length: without it an event would be a tombstone', async ({
  serve,
}) => {
  const server = await serve(new Recorder());
  const answer = await speak(server.port, `POST / HTTP/1.0\r\n${attributes}\r\n`);
  expect(words(answer)).toEqual(['HTTP/1.1 411', 'kne-reason: length-required']);
  expect(server.counted).toEqual(['refused length-required']);
});

test.for(['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'POST'])(
  '%s at a path that is only read is answered 405 with Allow',
  async (method, { serve }) => {
    const { port, counted } = await serve(new Recorder());
    const response = await fetch(`http://127.0.0.1:${port}/health/liveness?x=1`, { method });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    expect(await response.json()).toEqual({
      error: `${method} is not served at /health/liveness`,
      reason: 'method-not-allowed',
    });
    expect(counted).toEqual(['refused method-not-allowed']);
  },
);

test('CONNECT is answered 405 and counted', async ({ serve }) => {
  const { port, counted } = await serve(new Recorder());
  const answer = await speak(port, 'CONNECT db:5432 HTTP/1.1\r\nhost: db:5432\r\n\r\n');
  expect(words(answer)).toEqual(['HTTP/1.1 405', 'kne-reason: method-not-allowed']);
  expect(counted).toEqual(['refused method-not-allowed']);
});

test.for([
  ['garbage', 'GARBAGE\r\n\r\n'],
  ['a request with two lengths', `${head}content-length: 2\r\ncontent-length: 2\r\n\r\n{}`],
] as const)(
  '%s after a request that waits for its answer does not take that answer’s place',
  async ([, bytes], { serve }) => {
    const { intake, reached, open: commit } = gated();
    const server = await serve(intake);
    const socket = await open(server.port);
    const answer = heard(socket);
    socket.write(request + bytes);
    await reached;
    await expect.poll(() => server.counted).toEqual(['refused bad-request']);
    commit();
    expect(words(await answer)).toEqual(['HTTP/1.1 204']);
    expect(server.counted).toEqual(['refused bad-request', 'events ingested']);
  },
);

test('bytes after the last request of a connection do not take its answer’s place', async ({
  serve,
}) => {
  const server = await serve(new Recorder());
  const last = request.replace('host: x\r\n', 'host: x\r\nconnection: close\r\n');
  expect(words(await speak(server.port, last + request))).toEqual(['HTTP/1.1 204']);
});

test('a request that was refused before its body arrived gets no second answer', async ({
  serve,
}) => {
  const { port, counted } = await serve(new Recorder(), { requestTimeoutMs: 200 });
  const answer = await speak(port, 'PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{');
  expect(words(answer)).toEqual(['HTTP/1.1 405', 'kne-reason: method-not-allowed']);
  expect(counted).toEqual(['refused method-not-allowed']);
});

test('a connection that never sends a byte is closed without an answer', async ({ serve }) => {
  const { port, counted, logged } = await serve(new Recorder(), { requestTimeoutMs: 200 });
  expect(await speak(port)).toBe('');
  expect([counted, logged]).toEqual([[], []]);
});

test('a connection that is reset in a body is counted', async ({ serve }) => {
  const server = await serve(new Recorder());
  const socket = await open(server.port);
  socket.write(`${head}ce-knativekafkaoffset: 7\r\ncontent-length: 9\r\n\r\n{`);
  await once(server.app.server, 'request');
  socket.resetAndDestroy();
  await expect.poll(() => server.counted).toEqual(['refused broken-off']);
  expect(server.logged).toMatchObject([{ reason: 'broken-off', offset: '7' }]);
});

test('a sender that has closed its half of the connection still gets the answer', async ({
  serve,
}) => {
  const { intake, reached, open: commit } = gated();
  const server = await serve(intake);
  const socket = await open(server.port);
  const answer = heard(socket);
  socket.end(request);
  await reached;
  commit();
  expect(words(await answer)).toEqual(['HTTP/1.1 204']);
});

test('a target in absolute form, as proxies send it, is served', async ({ serve }) => {
  const server = await serve(new Recorder());
  const socket = await open(server.port);
  const answer = heard(socket);
  socket.end(request.replace('POST /', 'POST http://muster.shop/'));
  expect(words(await answer)).toEqual(['HTTP/1.1 204']);
});
