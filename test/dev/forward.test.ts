import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test as base } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { Forwarder, type KafkaRecord } from '../../dev/demo/forward.ts';
import { until } from './support/source.ts';

/** Records what is sent to it, byte for byte, and answers as instructed: a status, later, or not at all. */
interface RawSink {
  readonly url: string;
  readonly requests: string[];
  readonly answers: (number | Promise<number> | 'cut')[];
}

const test = base.extend<{ sink: RawSink }>({
  sink: async ({}, use) => {
    const requests: string[] = [];
    const answers: RawSink['answers'] = [];
    const server = createServer((socket) => {
      let bytes = '';
      socket.on('error', () => {});
      socket.on('data', async (chunk) => {
        bytes += chunk.toString('latin1');
        const [, head, length = '0'] =
          /^([^]*?content-length: (\d+)[^]*?\r\n\r\n|[^]*?\r\n\r\n)/.exec(bytes) ?? [];
        if (head === undefined || bytes.length < head.length + Number(length)) return;
        requests.push(bytes);
        bytes = '';
        const answer = await (answers.shift() ?? 204);
        if (answer === 'cut') socket.destroy();
        else {
          socket.write(
            `HTTP/1.1 ${answer} Answer\r\n${answer === 204 ? '' : 'content-length: 0\r\n'}\r\n`,
          );
        }
      });
    });
    const port = await freePort();
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
    await use({ url: `http://127.0.0.1:${port}/`, requests, answers });
    server.close();
  },
});

const SOURCE = { namespace: 'shop', name: 'orders-source' };

function fixture(name: string): { record: KafkaRecord; wire: (host: string) => string } {
  const { record, requests } = JSON.parse(
    readFileSync(`test/fixtures/knative/requests/${name}.json`, 'utf8'),
  );
  const { method, target, headers, body } = requests[0];
  const wire = (host: string) =>
    [
      `${method} ${target} HTTP/1.1`,
      ...headers.map(([field, value]: string[]) => `${field}: ${field === 'host' ? host : value}`),
      '',
      body,
    ].join('\r\n');
  return { record, wire };
}

test.for([
  'change-event',
  'tombstone-key',
  'tombstone-no-key',
  'empty-value',
  'json-key',
  'key-spaces-quotes',
])('a record is sent as the bytes a KafkaSource sends: %s', async (name, { sink }) => {
  const forwarder = new Forwarder({ sink: sink.url, ...SOURCE });
  const { record, wire } = fixture(name);
  await forwarder.post(record);
  forwarder.stop();

  expect(sink.requests).toEqual([wire(new URL(sink.url).host)]);
});

test('a missing answer and transient errors are retried with the same bytes', async ({ sink }) => {
  const answers = [404, 408, 'cut', 409, 429, 500, 502, 503, 504] as const;
  sink.answers.push(...answers);
  const forwarder = new Forwarder({ sink: sink.url, ...SOURCE, backoff: 1 });
  await forwarder.post(fixture('change-event').record);
  forwarder.stop();

  expect(sink.requests).toHaveLength(answers.length + 1);
  expect(new Set(sink.requests)).toHaveLength(1);
});

test.for([400, 401, 413, 415, 422])(
  'answer %i is final, and is reported',
  async (status, { sink }) => {
    sink.answers.push(status);
    const refused: number[] = [];
    const forwarder = new Forwarder({
      sink: sink.url,
      ...SOURCE,
      onRefusal: (_, answer) => refused.push(answer),
    });
    await forwarder.post(fixture('change-event').record);
    forwarder.stop();

    expect(refused).toEqual([status]);
    expect(sink.requests).toHaveLength(1);
  },
);

test('at the maximum number of requests in flight, the others wait until one is answered', async ({
  sink,
}) => {
  const answer = Promise.withResolvers<number>();
  sink.answers.push(answer.promise);
  const forwarder = new Forwarder({ sink: sink.url, ...SOURCE, inFlight: 1 });
  const { record } = fixture('change-event');
  const posts = [0, 1, 2].map((offset) => forwarder.post({ ...record, offset }));
  await until(() => sink.requests.length === 1);
  await sleep(100);
  expect(sink.requests).toHaveLength(1);
  answer.resolve(204);
  await Promise.all(posts);
  forwarder.stop();
  expect(sink.requests).toHaveLength(3);
});

test('a stop rejects what is in flight, what waits for the function, and what waits for its turn', async ({
  sink,
}) => {
  const { record } = fixture('change-event');
  for (const ready of [() => Promise.resolve(), () => new Promise<void>(() => {})]) {
    sink.answers.push(new Promise<number>(() => {}));
    const forwarder = new Forwarder({ sink: sink.url, ...SOURCE, inFlight: 1, ready });
    const posts = Promise.allSettled([forwarder.post(record), forwarder.post(record)]);
    await sleep(100);
    forwarder.stop();
    const stopped = { status: 'rejected', reason: expect.objectContaining({ name: 'AbortError' }) };
    expect(await posts).toEqual([stopped, stopped]);
  }
  expect(sink.requests).toHaveLength(1);
});
