import { once } from 'node:events';
import { connect } from 'node:net';
import { expect } from 'vitest';
import type { Intake } from '../../../src/intake/ingest.ts';
import { answerOf, heard, Recorder, speak, test, type Answer } from '../server.ts';

/** No request here gets as far as state. */
const unreached: Intake = {
  ingest: () => Promise.reject(new Error('ingested')),
  park: () => Promise.reject(new Error('parked')),
  explain: () => Promise.reject(new Error('explained')),
};

const example =
  " in the ce- headers (e.g. curl -H 'ce-specversion: 1.0' -H 'ce-id: 1' -H 'ce-source: /me' -H 'ce-type: dev.knative.kafka.event' --data @change.json)";

const notCloudEvents: [what: string, headers: Record<string, string | null>, error: string][] = [
  [
    'without any attribute',
    { 'ce-specversion': null, 'ce-id': null, 'ce-source': null, 'ce-type': null },
    `attribute specversion is missing${example}`,
  ],
  [
    'of JSON without any attribute',
    {
      'ce-specversion': null,
      'ce-id': null,
      'ce-source': null,
      'ce-type': null,
      'content-type': 'application/json',
    },
    `attribute specversion is missing${example}`,
  ],
  ['without specversion', { 'ce-specversion': null }, `attribute specversion is missing${example}`],
  ['of specversion 0.3', { 'ce-specversion': '0.3' }, `attribute specversion is not 1.0${example}`],
  ['without id', { 'ce-id': null }, `attribute id is missing${example}`],
  ['with an empty id', { 'ce-id': '' }, `attribute id is empty${example}`],
  ['without source', { 'ce-source': null }, `attribute source is missing${example}`],
  [
    'with a source that is no URI',
    { 'ce-source': 'a b' },
    `attribute source is not a URI reference${example}`,
  ],
  ['without type', { 'ce-type': null }, `attribute type is missing${example}`],
  ['with a bad time', { 'ce-time': 'yesterday' }, `attribute time is not in RFC 3339${example}`],
  ['with a bad name', { 'ce-foo_bar': 'x' }, `"foo_bar" is not a valid attribute name${example}`],
  [
    'that is structured and cut short',
    {
      'ce-specversion': null,
      'ce-id': null,
      'ce-source': null,
      'ce-type': null,
      'content-type': 'application/cloudevents+json',
    },
    'the body is not JSON at position 1',
  ],
  [
    'that is in Avro',
    {
      'ce-specversion': null,
      'ce-id': null,
      'ce-source': null,
      'ce-type': null,
      'content-type': 'application/cloudevents+avro',
    },
    'content type application/cloudevents+avro is not application/cloudevents+json',
  ],
];

/** Not from a KafkaSource, and of a type that brings no changes. */
const foreign = { 'ce-type': 'com.example.order', 'ce-knativekafkaoffset': null };

test.for(notCloudEvents)('a request %s is answered 400', async ([, headers, error], { serve }) => {
  const server = await serve(unreached);
  const body = { error, reason: 'not-a-cloudevent' };
  expect(await server.post('{', { ...foreign, ...headers })).toEqual({
    status: 400,
    reason: 'not-a-cloudevent',
    body,
  });
  expect(server.counted).toEqual(['refused not-a-cloudevent']);
  expect(server.logged).toMatchObject([{ msg: 'refused', status: 400, partition: '2' }]);
});

test.for(notCloudEvents)(
  'a request %s is parked if a KafkaSource sent it, which would drop it',
  async ([, headers, detail], { serve }) => {
    const intake = new Recorder();
    const server = await serve(intake);
    const body = { parked: 'not-a-change', detail };
    const prefer = 'return=representation';
    const sent = { prefer, 'ce-knativekafkaoffset': '7', ...headers };
    expect(await server.post('{', sent)).toEqual({ status: 202, reason: null, body });
    expect(server.counted).toEqual(['parked not-a-change']);
  },
);

test('an event with the type of a KafkaSource is parked even without an offset', async ({
  serve,
}) => {
  const server = await serve(new Recorder());
  const headers = { 'ce-knativekafkaoffset': null, 'ce-time': '2018-02-30T00:00:00Z' };
  expect(await server.post('{}', headers)).toMatchObject({ status: 202, body: null });
  expect(server.counted).toEqual(['parked not-a-change']);
});

test.for([
  undefined,
  'application/json',
  'application/json; charset=latin1',
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data',
  'avro/binary',
  'no media type',
  '',
  ';;;',
  'application/xml; q="',
])('every content type is accepted, including %j', async (contentType, { serve }) => {
  const { port } = await serve(new Recorder());
  const header = contentType === undefined ? '' : `content-type: ${contentType}\r\n`;
  const answer = await speak(
    port,
    `POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: other\r\n${header}content-length: 2\r\n\r\n{}`,
  );
  expect(answer).toMatch(/^HTTP\/1.1 204 /);
});

test('a body of 16 MiB is accepted, one byte more is answered 413', async ({ serve }) => {
  const server = await serve(new Recorder());
  const largest = Buffer.alloc(16 * 1024 * 1024, ' ');
  expect(await server.post(largest, { 'ce-type': 'other' })).toMatchObject({ status: 204 });
  expect(
    await server.post(Buffer.concat([largest, Buffer.of(32)]), { 'ce-type': 'other' }),
  ).toEqual(tooLarge);
  expect(server.counted).toEqual(['events unwanted', 'unwantedTypes other', 'refused too-large']);
  expect(server.logged).toMatchObject([{ status: 413, partition: '2', offset: '7' }]);
});

test('a body of 17 MiB is answered 413 as soon as its length is known', async ({ serve }) => {
  const { port } = await serve(unreached);
  const answer = await speak(
    port,
    'POST / HTTP/1.1\r\nhost: x\r\nce-id: 1\r\ncontent-length: 17825792\r\n\r\n',
  );
  expect(parsed(answer)).toEqual(tooLarge);
});

test('a body of 17 MiB in chunks is answered 413', async ({ serve }) => {
  const { port } = await serve(unreached);
  const chunks = new ReadableStream({
    start(controller) {
      for (let mib = 0; mib < 17; mib++) controller.enqueue(Buffer.alloc(1024 * 1024, ' '));
      controller.close();
    },
  });
  const request = new Request(`http://127.0.0.1:${port}/`, {
    method: 'POST',
    body: chunks,
    duplex: 'half',
  });
  expect(await answerOf(await fetch(request))).toEqual(tooLarge);
});

const tooLarge: Answer = {
  status: 413,
  reason: 'too-large',
  body: { error: 'the body is larger than 16 MiB (BODY_LIMIT_MIB)', reason: 'too-large' },
};

test('a key of 1 MiB, which a KafkaSource sends twice, is accepted', async ({ serve }) => {
  const { port, counted } = await serve(new Recorder());
  const key = 'k'.repeat(1024 * 1024);
  const answer = await speak(port, requestWith(`ce-key: ${key}\r\nce-partitionkey: ${key}\r\n`));
  expect(answer).toMatch(/^HTTP\/1.1 204 /);
  expect(counted).toEqual(['events unwanted', 'unwantedTypes other']);
});

test('3,000 headers are accepted, and none is dropped', async ({ serve }) => {
  const intake = new Recorder();
  const { port } = await serve(intake);
  const many = Array.from({ length: 3000 }, (_, i) => `ce-kafkaheader${i}: x\r\n`).join('');
  expect(await speak(port, requestWith(many, 'dev.knative.kafka.event', 'hello'))).toMatch(
    /^HTTP\/1.1 202 /,
  );
  expect(Object.keys(intake.origins[0]!.attributes)).toHaveLength(3004);
});

test('headers of 4 MiB are answered 431, which reaches a sender that is still writing', async ({
  serve,
}) => {
  const { port, counted, logged } = await serve(unreached);
  const answer = await speak(port, requestWith(`ce-key: ${'k'.repeat(4 * 1024 * 1024)}\r\n`));
  const error = 'the headers are larger than 2304 KiB';
  expect(parsed(answer)).toEqual({
    status: 431,
    reason: 'headers-too-large',
    body: { error, reason: 'headers-too-large' },
  });
  expect(counted).toEqual(['refused headers-too-large']);
  expect(logged).toMatchObject([{ msg: 'refused', status: 431, error }]);
});

function requestWith(headers: string, type = 'other', body = '') {
  return `POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\nce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\nce-type: ${type}\r\n${headers}content-length: ${body.length}\r\n\r\n${body}`;
}

test.for(['PUT', 'DELETE', 'PATCH', 'OPTIONS'])(
  '%s / is answered 405',
  async (method, { serve }) => {
    const { port } = await serve(unreached);
    const response = await fetch(`http://127.0.0.1:${port}/?a=b`, { method });
    expect(response.headers.get('allow')).toBe('GET, HEAD, POST');
    expect(await answerOf(response)).toEqual({
      status: 405,
      reason: 'method-not-allowed',
      body: { error: `${method} is not served here`, reason: 'method-not-allowed' },
    });
  },
);

test('another path is answered 404, which KafkaSource retries', async ({ serve }) => {
  const { port } = await serve(unreached);
  const response = await fetch(`http://127.0.0.1:${port}/events`, { method: 'POST', body: '{}' });
  expect(await answerOf(response)).toEqual({
    status: 404,
    reason: 'not-found',
    body: { error: 'nothing is served here; events go to /', reason: 'not-found' },
  });
});

test('a path that can’t be decoded is answered 400', async ({ serve }) => {
  const { port } = await serve(unreached);
  const answer = parsed(
    await speak(port, 'GET /%zz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
  );
  expect(answer).toMatchObject({
    status: 400,
    reason: 'bad-request',
    body: { reason: 'bad-request' },
  });
});

test.for<[what: string, bytes: string, error: string]>([
  ['no HTTP', 'hello\r\n\r\n', 'Invalid method encountered'],
  ['an unknown method', 'FOO / HTTP/1.1\r\nhost: x\r\n\r\n', 'Invalid method encountered'],
  ['a TLS handshake', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03', 'Invalid method encountered'],
  ['bare line feeds', 'POST / HTTP/1.1\nhost: x\n\n', 'Expected CRLF after version'],
  [
    'two lengths',
    'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}',
    'Duplicate Content-Length',
  ],
  [
    'a length beside chunks',
    'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    "Transfer-Encoding can't be present with Content-Length",
  ],
  [
    'an encoding that hides the length',
    'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n{}',
    'Request has invalid `Transfer-Encoding`',
  ],
  [
    'a length in the trailers',
    'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 4\r\n\r\n',
    "Content-Length can't be present with Transfer-Encoding",
  ],
  [
    'a length that is no number',
    'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\n{}',
    'Invalid character in Content-Length',
  ],
  [
    'a control character in a header',
    'POST / HTTP/1.1\r\nhost: x\r\nce-id: a\0b\r\n\r\n',
    'Invalid header value char',
  ],
  [
    'a bad chunk',
    'POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
    'Invalid character in chunk size',
  ],
  ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'Pause on PRI/Upgrade'],
])('%s is answered 400 with the problem', async ([, bytes, error], { serve }) => {
  const { port, counted } = await serve(unreached);
  expect(parsed(await speak(port, Buffer.from(bytes, 'latin1')))).toEqual({
    status: 400,
    reason: 'bad-request',
    body: { error: `not HTTP: ${error}`, reason: 'bad-request' },
  });
  expect(counted).toEqual(['refused bad-request']);
});

test.for([
  ['in its headers', ['POST / HTTP/1.1\r\nhost: x\r\nce-id: 1\r\n']],
  ['in its body', ['POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n', '{']],
] as const)(
  'a request that stops %s is answered 408, which KafkaSource retries',
  async ([, parts], { serve }) => {
    const { port, counted } = await serve(unreached, { requestTimeoutMs: 200 });
    expect(parsed(await speak(port, ...parts))).toEqual({
      status: 408,
      reason: 'timeout',
      body: { error: 'the request did not arrive in time', reason: 'timeout' },
    });
    expect(counted).toEqual(['refused timeout']);
  },
);

test('a request that trickles is answered 408, however steadily', async ({ serve }) => {
  const { port } = await serve(unreached, { requestTimeoutMs: 200 });
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n');
  const trickle = setInterval(() => socket.write(' '), 20);
  const answer = await heard(socket).finally(() => clearInterval(trickle));
  expect(parsed(answer)).toMatchObject({ status: 408, reason: 'timeout' });
});

test('a connection that breaks in a body yields no event and no answer', async ({ serve }) => {
  const server = await serve(unreached);
  const socket = connect(server.port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{');
  await once(server.app.server, 'request');
  socket.destroy();
  await expect.poll(() => server.counted).toEqual(['refused broken-off']);
});

/** A response as its bytes. */
function parsed(text: string): Answer {
  const [head = '', body = ''] = text.split('\r\n\r\n');
  return {
    status: Number(head.slice(9, 12)),
    reason: /\r\nkne-reason: (.*)/i.exec(head)?.[1] ?? null,
    body: JSON.parse(body),
  };
}
