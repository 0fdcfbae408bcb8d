/** Events that CloudEvents' SDKs of other languages send complete sets. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { fetched } from '../../dev/stack/install.ts';
import { missingTools } from '../../dev/stack/tools.ts';
import { all, defineFunction } from '../../src/function.ts';
import { built, FIRST_MS } from '../support/built.ts';
import { serverOn } from '../support/engine.ts';
import { need as requires } from '../support/need.ts';
import { commandProblem, pythonPackages } from '../support/python.ts';
import { test as base, type TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

const CLIENTS = fileURLToPath(new URL('clients/', import.meta.url));
const PAID = 'com.shop.paid';

const test = base.extend('need', ({ skip }) => (command: string, ...args: readonly string[]) => {
  requires(command === 'java' ? missingTools() : commandProblem(command, ...args), skip);
});

const read = (file: string) => readFileSync(file, 'utf8');

const run = (command: string, args: readonly string[], cwd = CLIENTS) =>
  promisify(execFile)(command, [...args], { cwd, timeout: FIRST_MS });

interface Sent {
  readonly headers: IncomingHttpHeaders;
  readonly status: number;
}

const part = (event: string) =>
  ({ event, key: 'data.order', where: { country: 'NO' }, columns: ['subject'] }) as const;

/** Serves a function that needs two events, behind a server that records the requests. */
async function served(db: TestDatabase) {
  const subjects: unknown[] = [];
  const orders = defineFunction({
    name: 'orders',
    parts: { paid: part(PAID), packed: part('com.shop.packed') },
    complete: all('paid', 'packed'),
    handle({ parts: { paid, packed } }) {
      subjects.push(...[...paid, ...packed].map(({ row }) => row.subject));
    },
  });
  const muster = await serverOn(db, [orders]);
  onTestFinished(() => muster.stop());
  const sent: Sent[] = [];
  const forward = async (request: IncomingMessage, response: ServerResponse) => {
    const { host: _, connection, 'transfer-encoding': encoding, ...headers } = request.headers;
    delete headers['content-length'];
    const { status } = await fetch(muster.url, {
      method: 'POST',
      headers: headers as Record<string, string>,
      body: await buffer(request),
    });
    sent.push({ headers: { ...headers, connection, 'transfer-encoding': encoding }, status });
    response.writeHead(status).end();
  };
  const recorder = createServer((request, response) => void forward(request, response));
  await new Promise<void>((resolve) => recorder.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void recorder.close());
  const url = `http://127.0.0.1:${(recorder.address() as AddressInfo).port}`;
  const done = (count: number) =>
    until(async () => {
      const runs = await db.query<{ key: string }>(
        `select key from muster.run where state = 'done' order by key`,
      );
      return runs.length === count ? runs.map(({ key }) => key) : undefined;
    });
  return { url, sent, subjects, done, parked: () => db.query('select detail from muster.parked') };
}

const utf8 = (text: string) => Buffer.from(text).toString('latin1');
const SUBJECT = 'café 50%';

test('Go: binary, structured and batched', { timeout: FIRST_MS }, async ({ db, need }) => {
  need('go', 'version');
  const files = ['main.go', 'go.mod', 'go.sum'].map((name) => join(CLIENTS, 'go', name));
  const folder = await built('go', files.map(read), (into) =>
    run('go', ['build', '-o', join(into, 'client'), '.'], join(CLIENTS, 'go')),
  );
  const { url, sent, subjects, done, parked } = await served(db);
  await run(join(folder, 'client'), [url, 'go']);
  expect(await done(2)).toEqual(['go', 'go batch']);
  expect(sent.map(({ headers }) => headers['content-type'])).toEqual([
    'application/json',
    'application/cloudevents+json',
    'application/cloudevents-batch+json',
  ]);
  // against the HTTP binding, the SDK does not encode: the bytes are UTF-8
  expect(sent[0]!.headers).toMatchObject({ 'ce-type': PAID, 'ce-subject': utf8(SUBJECT) });
  expect(subjects).toEqual([SUBJECT, SUBJECT, SUBJECT, SUBJECT]);
  expect(await parked()).toEqual([]);
});

test('Java: binary and structured', { timeout: FIRST_MS }, async ({ db, need }) => {
  need('java');
  need('javac', '-version');
  const folder = await fetched(join(CLIENTS, 'java', 'pom.xml'), 'the SDK for Java', () => {});
  const { url, sent, subjects, done, parked } = await served(db);
  const program = join(CLIENTS, 'java', 'Client.java');
  await run('java', ['-cp', join(folder, 'lib', '*'), program, url, 'java']);
  expect(await done(1)).toEqual(['java']);
  expect(sent.map(({ headers }) => headers['content-type'])).toEqual([
    'application/json',
    'application/cloudevents+json',
  ]);
  // with the JDK's own client, the SDK sends UTF-8, too, and accepts pages
  expect(sent[0]!.headers).toMatchObject({
    'ce-type': PAID,
    'ce-subject': utf8(SUBJECT),
    accept: 'text/html, image/gif, image/jpeg, */*; q=0.2',
  });
  expect(subjects).toEqual([SUBJECT, SUBJECT]);
  expect(await parked()).toEqual([]);
});

test('Python: binary and structured', { timeout: FIRST_MS }, async ({ db, need }) => {
  need('python3', '-m', 'ensurepip', '--version');
  const requirements = read(join(CLIENTS, 'python', 'requirements.txt'));
  const folder = await pythonPackages('python', requirements.trim().split('\n'));
  const { url, sent, subjects, done, parked } = await served(db);
  const program = join(CLIENTS, 'python', 'client.py');
  await promisify(execFile)('python3', [program, url, 'python'], {
    env: { PATH: process.env['PATH'], PYTHONPATH: folder },
  });
  expect(await done(1)).toEqual(['python']);
  expect(sent.map(({ headers }) => headers['content-type'])).toEqual([
    'application/json',
    'application/cloudevents+json',
  ]);
  // it encodes, spaces included
  expect(sent[0]!.headers).toMatchObject({
    'ce-type': PAID,
    'ce-subject': 'caf%C3%A9%2050%25',
    connection: 'close',
  });
  expect(subjects).toEqual([SUBJECT, SUBJECT]);
  expect(await parked()).toEqual([]);
});

test('JavaScript: binary and structured', async ({ db }) => {
  const { CloudEvent, emitterFor, HTTP, httpTransport, Mode } = await import('cloudevents');
  const { url, sent, subjects, done, parked } = await served(db);
  const event = (id: string, type: string, subject: string) =>
    new CloudEvent({
      id,
      type,
      subject,
      source: '/clients/js',
      country: 'NO',
      data: { order: 'js' },
    });
  const binary = emitterFor(httpTransport(url), { binding: HTTP, mode: Mode.BINARY });
  const structured = emitterFor(httpTransport(url), { binding: HTTP, mode: Mode.STRUCTURED });
  await binary(event('1', PAID, SUBJECT));
  await structured(event('2', 'com.shop.packed', SUBJECT));
  expect(await done(1)).toEqual(['js']);
  expect(sent.map(({ headers }) => headers['content-type'])).toEqual([
    'application/json; charset=utf-8',
    'application/cloudevents+json; charset=utf-8',
  ]);
  // neither encoded nor UTF-8, but Latin-1, and in chunks; what is beyond Latin-1, Node refuses to send
  expect(sent[0]!.headers).toMatchObject({
    'ce-type': PAID,
    'ce-subject': SUBJECT,
    'transfer-encoding': 'chunked',
  });
  await expect(binary(event('3', PAID, '日本'))).rejects.toThrow('ce-subject');
  expect(subjects).toEqual([SUBJECT, SUBJECT]);
  expect(await parked()).toEqual([]);
});
