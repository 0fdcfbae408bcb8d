import { setTimeout as sleep } from 'node:timers/promises';
import { expect, onTestFinished, vi } from 'vitest';
import { Channel } from '../../../../functions/travelers/console/channel.ts';
import type { MetricsAnswer } from '../../../../functions/travelers/console/api-answers.ts';
import { Zone } from '../../../../functions/travelers/console/zone.ts';
import type { Sample } from '../../../../functions/travelers/ingest/sample.ts';
import { consoleOn } from '../../../support/console.ts';
import { test, type TestDatabase } from '../../../support/test.ts';
import { until } from '../../../support/until.ts';
import { streamOn } from '../stream.ts';
import { street } from '../street.ts';

/** A long timeout, because a hundred readers share the machine with other tests. */
vi.setConfig({ testTimeout: 120_000 });

const SECOND = 1_000;
const LIVE = '/api/travelers/live?step=1s&window=10s&last=1m&group=type';

interface Event {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: MetricsAnswer;
}

/** Reads a stream of server-sent events until the test ends. */
async function listen(url: string, headers: Record<string, string> = {}) {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const response = await fetch(url, { headers, signal: stop.signal });
  expect([response.status, response.headers.get('content-type')]).toEqual([
    200,
    'text/event-stream; charset=utf-8',
  ]);
  const events: Event[] = [];
  let ended = false;
  const reading = (async () => {
    let text = '';
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const blocks = (text + chunk).split('\n\n');
      text = blocks.pop()!;
      for (const block of blocks) {
        const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
        const data = field('data');
        if (data !== undefined) {
          events.push({ name: field('event')!, id: field('id'), data: JSON.parse(data) });
        }
      }
    }
  })().then(
    () => (ended = true),
    () => (ended = true),
  );
  return {
    events,
    reading,
    stop: () => stop.abort(),
    get ended() {
      return ended;
    },
    /** Returns the newest numbers of each window, by its end. */
    get windows() {
      const windows = new Map<string, { present: number | null; provisional: boolean }>();
      for (const { name, data } of events) {
        if (name !== 'metrics') continue;
        for (const [i, end] of data.ends.entries()) {
          const present = data.series.reduce((sum, each) => sum + (each.present[i] ?? 0), 0);
          windows.set(end, { present, provisional: data.provisional[i]! });
        }
      }
      return windows;
    },
  };
}

/** Writes samples of sensors up to now. */
async function given(db: TestDatabase) {
  const stream = await streamOn(db);
  const now = Date.now();
  const samples = street([17, 18], now - 60 * SECOND, now, { everySeconds: 1 });
  await stream.give(0, samples);
  await stream.settled();
  return { stream, samples, now, server: await consoleOn(db) };
}

/** Sends the last sample again, later and elsewhere, so that only time advances. */
function later({ ...sample }: Sample, at: number): Sample {
  return { ...sample, at: at * 1000 };
}

test('a stream starts with the existing windows, then sends new and changed ones', async ({
  db,
}) => {
  const {
    server: { url },
    stream,
    samples,
  } = await given(db);
  const live = await listen(url + LIVE);
  const first = await until(() => live.events[0]);
  expect(first.data.ends.length).toBeGreaterThanOrEqual(50);
  expect(first.data.provisional[0]).toBe(false);
  expect(first.data.provisional.at(-1)).toBe(true);

  const before = live.windows.size;
  await until(async () => {
    await stream.give(0, [later(samples.at(-1)!, Date.now())]);
    await stream.settled();
    return live.windows.size >= before + 3;
  });
  // Only changed windows are sent again.
  const news = live.events.slice(1).filter((each) => each.name === 'metrics');
  expect(Math.max(...news.map((each) => each.data.ends.length))).toBeLessThan(
    first.data.ends.length,
  );
  const whole = await fetch(
    `${url}/api/travelers/metrics?step=1s&window=10s&group=type&from=${first.data.ends[0]}&to=${[...live.windows.keys()].at(-1)}`,
  );
  const { ends } = (await whole.json()) as MetricsAnswer;
  expect([...live.windows.keys()].slice(1)).toEqual(ends);
});

test('a client that reconnects with Last-Event-ID receives windows that were not final, and no final one twice', async ({
  db,
}) => {
  const {
    server: { url },
  } = await given(db);
  const live = await listen(url + LIVE);
  const first = await until(() => live.events[0]);
  live.stop();
  const back = await listen(url + LIVE, { 'last-event-id': first.id! });
  const again = await until(() => back.events[0]);
  expect(Date.parse(again.data.ends[0]!)).toBe(Number(first.id) + SECOND);
  expect(Date.parse(first.data.ends[first.data.provisional.indexOf(true)]!)).toBe(
    Number(first.id) + SECOND,
  );
  for (const nonsense of ['x', '', '-5', String(Number(first.id) + 1), '1e300']) {
    const fresh = await listen(url + LIVE, { 'last-event-id': nonsense });
    await until(() => fresh.events.length > 0);
    expect(fresh.events[0]!.data.ends.length).toBeGreaterThanOrEqual(50);
  }
});

test('a hundred streams cost the database as much as one', async ({ db }) => {
  const { server, stream, samples } = await given(db);
  /** Counts the console's statements during some seconds, with a new sample each second. */
  const cost = async (readers: number) => {
    const streams = await Promise.all(
      Array.from({ length: readers }, () => listen(server.url + LIVE)),
    );
    await until(() => streams.every((each) => each.events.length > 0));
    const windows = () => Math.min(...streams.map((each) => each.windows.size));
    const [from, before] = [windows(), server.statements];
    await until(async () => {
      await stream.give(0, [later(samples.at(-1)!, Date.now())]);
      return windows() >= from + 5;
    });
    const spent = server.statements - before;
    for (const each of streams) each.stop();
    return spent;
  };
  const one = await cost(1);
  const hundred = await cost(100);
  console.info(`statements during 5 windows: ${one} for one stream, ${hundred} for a hundred`);
  expect(one).toBeGreaterThan(5);
  expect(hundred).toBeLessThan(one * 2);
});

test('a hundred identical concurrent requests cause one read, and for final windows none', async ({
  db,
}) => {
  const { server, now } = await given(db);
  const to = new Date(Math.floor(now / 1000) * 1000 - 20 * SECOND).toISOString();
  const query = `${server.url}/api/travelers/metrics?step=1s&to=${to}&group=sensor,type`;
  const ask = async (count: number) => {
    const before = server.statements;
    const answers = await Promise.all(Array.from({ length: count }, () => fetch(query)));
    const texts = await Promise.all(answers.map((each) => each.text()));
    expect(new Set(texts).size).toBe(1);
    expect(texts[0]).toContain('"provisional":[false');
    return server.statements - before;
  };
  const first = await ask(100);
  expect(first).toBeGreaterThan(0);
  expect(first).toBeLessThan(25);
  expect(await ask(100)).toBe(0);
});

test('without readers the console does not query the database', async ({ db }) => {
  const { server } = await given(db);
  const live = await listen(server.url + LIVE);
  await until(() => live.events.length > 0);
  live.stop();
  await live.reading;
  // A query in progress may finish; after that there are none.
  let before = -1;
  await until(async () => {
    if (server.statements === before) return true;
    before = server.statements;
    await sleep(1_500);
    return false;
  });
  expect(before).toBeGreaterThan(0);
});

test('a reader that does not read is disconnected, and the others continue', async () => {
  const channel = new Channel({
    sensors: null,
    types: ['vehicle'],
    bySensor: false,
    byType: false,
    step: SECOND,
    window: SECOND,
    zone: new Zone('UTC'),
  });
  const idle = channel.join(0, () => {});
  const busy = channel.join(0, () => {});
  let taken = 0;
  busy.on('data', (bytes: Buffer) => (taken += bytes.length));
  const numbers = {
    windows: async () => [],
    answer: async () => ({ padding: 'x'.repeat(100_000) }) as never,
  };
  await channel.update(numbers, '1', 0);
  let dropped = 0;
  for (let i = 0; i < 20 && dropped === 0; i++) {
    dropped += channel.broadcast(Buffer.alloc(100_000, 'x'));
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect([dropped, idle.destroyed, busy.destroyed, channel.readers]).toEqual([1, true, false, 1]);
  expect(taken).toBeGreaterThan(1_000_000);
});

test('a stop closes the streams in an orderly way, and new ones are refused', async ({ db }) => {
  const { server } = await given(db);
  const { url } = server;
  const live = await listen(url + LIVE);
  await until(() => live.events.length > 0);
  await server.stop();
  await live.reading;
  expect(live.ended).toBe(true);
  await expect(fetch(url + LIVE)).rejects.toThrow('fetch failed');
});

test("a stream reports that the numbers can't be read, and continues once they can", async ({
  db,
}) => {
  const {
    server: { url },
  } = await given(db);
  const live = await listen(url + LIVE);
  await until(() => live.events.length > 0);
  await db.query('alter schema travelers rename to elsewhere');
  await until(() => live.events.some((each) => each.name === 'failure'));
  await db.query('alter schema elsewhere rename to travelers');
  const { length } = live.events;
  await until(() => live.events.slice(length).some((each) => each.name === 'heartbeat'));
});

test('a HEAD request opens no stream', async ({ db }) => {
  const { server } = await given(db);
  const { status } = await fetch(server.url + LIVE, { method: 'HEAD' });
  expect(status).toBe(405);
});

test("a stream's parameters are checked before it starts", async ({ db }) => {
  const {
    server: { url },
  } = await given(db);
  for (const [query, field] of [
    ['step=1s&last=7d', 'step'],
    ['last=1s&step=1m', 'last'],
    ['sensor=4', 'sensor'],
    ['from=2026-01-01', 'from'],
  ]) {
    const response = await fetch(`${url}/api/travelers/live?${query}`);
    expect([query, response.status, await response.json()]).toMatchObject([query, 400, { field }]);
  }
});
