import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, onTestFinished } from 'vitest';
import type { Tokens } from '../../../src/intake/http/token.ts';
import type { Outcome } from '../../../src/state/outcome.ts';
import { insert } from '../messages.ts';
import { heard, Recorder, speak, test } from '../server.ts';

const MIB = 1024 * 1024;
const change = JSON.stringify(insert);
const head =
  'POST / HTTP/1.1\r\nhost: x\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: dev.knative.kafka.event\r\n';
const last = head.replace('host: x\r\n', 'host: x\r\nconnection: close\r\n');

function whole(body: string): string {
  return `${last}content-length: ${body.length}\r\n\r\n${body}`;
}

/** A connection that has announced a body and sent a part of it. */
async function begin(port: number, bytes: number, part: string): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.write(`${last}content-length: ${bytes}\r\n\r\n${part}`);
  return socket;
}

test('a body counts with its announced length from its first byte until it is answered', async ({
  serve,
}) => {
  const server = await serve(new Recorder(), { maxBytes: 2 * MIB });
  const socket = await begin(server.port, 2 * MIB, change);
  await once(server.app.server, 'request');
  const refused = await speak(server.port, whole(change));
  expect(refused).toMatch(/^HTTP\/1.1 503 [^]*kne-reason: overload/);
  expect(refused).toContain('bytes of requests are being received or wait for the database');
  expect(server.counted).toEqual(['refused overload']);

  const answer = heard(socket);
  socket.write(' '.repeat(2 * MIB - change.length));
  expect(await answer).toMatch(/^HTTP\/1.1 204 /);
  expect(await speak(server.port, whole(change))).toMatch(/^HTTP\/1.1 204 /);
});

test('an event that waits for the database counts', async ({ serve }) => {
  const gate = Promise.withResolvers<Outcome>();
  const reached = Promise.withResolvers<void>();
  const intake = new Recorder();
  intake.answer = () => (reached.resolve(), gate.promise);
  const server = await serve(intake, { maxBytes: MIB });
  const answer = speak(server.port, whole(change.padEnd(MIB)));
  await reached.promise;
  expect(await speak(server.port, whole(change))).toMatch(/^HTTP\/1.1 503 /);
  gate.resolve({ kind: 'ingested' });
  expect(await answer).toMatch(/^HTTP\/1.1 204 /);
});

test('a body counts with the bytes that it decodes to', async ({ serve }) => {
  const gate = Promise.withResolvers<Outcome>();
  const reached = Promise.withResolvers<void>();
  const intake = new Recorder();
  intake.answer = () => (reached.resolve(), gate.promise);
  const server = await serve(intake, { maxBytes: MIB });
  const zipped = gzipSync(change.padEnd(MIB));
  const headers = `content-encoding: gzip\r\ncontent-length: ${zipped.length}\r\n\r\n`;
  const answer = speak(server.port, `${last}${headers}`, zipped);
  await reached.promise;
  expect(await speak(server.port, whole(change))).toMatch(/^HTTP\/1.1 503 /);
  gate.resolve({ kind: 'ingested' });
  expect(await answer).toMatch(/^HTTP\/1.1 204 /);
});

test('a chunked body counts as it arrives', async ({ serve }) => {
  const server = await serve(new Recorder(), { maxBytes: 2 * MIB });
  await begin(server.port, MIB, change);
  await once(server.app.server, 'request');
  const chunk = `${(64 * 1024).toString(16)}\r\n${' '.repeat(64 * 1024)}\r\n`;
  const socket = connect(server.port, '127.0.0.1');
  const answer = heard(socket);
  socket.write(`${last}transfer-encoding: chunked\r\n\r\n`);
  for (let sent = 0; sent < 24; sent++) socket.write(chunk);
  socket.write('0\r\n\r\n');
  expect(await answer).toMatch(/^HTTP\/1.1 503 [^]*kne-reason: overload/);
});

test('a body in chunks of one byte arrives complete', async ({ serve }) => {
  const intake = new Recorder();
  const { port } = await serve(intake);
  const body = change.padEnd(40_000);
  const chunks = body
    .split('')
    .map((byte) => `1\r\n${byte}\r\n`)
    .join('');
  const answer = await speak(port, `${last}transfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
  expect(answer).toMatch(/^HTTP\/1.1 204 /);
  expect(intake.ingested).toMatchObject([{ stream: 'public.orders' }]);
});

test.for(['announced', 'in chunks'])(
  'a body that is too large, %s, is refused before it is read, on a connection that stays',
  async (form, { serve }) => {
    const server = await serve(new Recorder());
    const socket = connect(server.port, '127.0.0.1');
    const answers = heard(socket);
    const mib = ' '.repeat(MIB);
    socket.write(
      `${head}${form === 'announced' ? `content-length: ${17 * MIB}` : 'transfer-encoding: chunked'}\r\n\r\n`,
    );
    for (let sent = 0; sent < 17; sent++) {
      socket.write(form === 'announced' ? mib : `${MIB.toString(16)}\r\n${mib}\r\n`);
    }
    socket.write(`${form === 'announced' ? '' : '0\r\n\r\n'}${whole(change)}`);
    expect((await answers).match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 413', 'HTTP/1.1 204']);
    expect(server.counted).toEqual(['refused too-large', 'events ingested']);
  },
);

test('a refused body is read to its end, so that the answer is not lost in a reset', async ({
  serve,
}) => {
  const server = await serve(new Recorder(), { maxBytes: 9 * MIB });
  await begin(server.port, 8 * MIB, change);
  await once(server.app.server, 'request');
  const socket = connect(server.port, '127.0.0.1');
  const answer = heard(socket);
  socket.write(`${head}content-length: ${8 * MIB}\r\n\r\n`);
  for (let sent = 0; sent < 8; sent++) socket.write(' '.repeat(MIB));
  socket.write(`${last}content-length: 0\r\n\r\n`);
  expect((await answer).match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 503', 'HTTP/1.1 204']);
});

test('bodies whose senders disconnected no longer count', async ({ serve }) => {
  const server = await serve(new Recorder(), { maxBytes: 2 * MIB });
  const socket = await begin(server.port, 2 * MIB, change);
  await once(server.app.server, 'request');
  socket.resetAndDestroy();
  await expect.poll(() => server.counted).toEqual(['refused broken-off']);
  expect(await speak(server.port, whole(change))).toMatch(/^HTTP\/1.1 204 /);
});

test('a sender that disconnected before its body was read holds no memory', async ({ serve }) => {
  const gate = Promise.withResolvers<void>();
  const waits = [gate.promise];
  const tokens = { check: () => waits.pop() ?? null } as unknown as Tokens;
  const server = await serve(new Recorder(), { maxBytes: 2 * MIB, tokens });
  const socket = await begin(server.port, 2 * MIB, change);
  const [request] = (await once(server.app.server, 'request')) as [IncomingMessage];
  socket.resetAndDestroy();
  await expect.poll(() => request.socket.destroyed).toBe(true);
  gate.resolve();
  await expect.poll(() => server.counted).toEqual(['refused broken-off']);
  expect(await speak(server.port, whole(change))).toMatch(/^HTTP\/1.1 204 /);
});

test('a single body may exceed the total limit: otherwise it could never be ingested', async ({
  serve,
}) => {
  const { port } = await serve(new Recorder(), { maxBytes: MIB });
  expect(await speak(port, whole(change.padEnd(2 * MIB)))).toMatch(/^HTTP\/1.1 204 /);
});
