import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect, onTestFinished, vi } from 'vitest';
import type { TurnoverOptions } from '../../../src/intake/http/connections.ts';
import { insert } from '../messages.ts';
import { Recorder, test } from '../server.ts';

const change = JSON.stringify(insert);
const headers = {
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/s',
  'ce-type': 'dev.knative.kafka.event',
  'content-length': change.length,
};
/** Connections that a KafkaSource's dispatcher keeps. */
const CONNECTIONS = 99;

/** A sender that keeps its connections as long as it may; counts them, and what was not answered 204. */
function startSender(port: number, connections = CONNECTIONS) {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  onTestFinished(() => agent.destroy());
  const sender = { failures: 0, opened: new Set<unknown>(), send };
  async function post(): Promise<void> {
    const sent = request({ port, host: '127.0.0.1', method: 'POST', agent, headers }).end(change);
    try {
      const [response] = await once(sent, 'response');
      sender.opened.add(response.socket);
      if (response.statusCode !== 204) sender.failures++;
      await once(response.resume(), 'end');
    } catch {
      sender.failures++;
    }
  }
  /** Sends `count` events, one at a time on each connection. */
  async function send(events: number): Promise<void> {
    let left = events;
    const connection = async () => {
      while (left-- > 0) await post();
    };
    await Promise.all(Array.from({ length: connections }, connection));
  }
  return sender;
}

/** Balances connections over the ports it knows at the time, as a Service does. */
async function startService(ports: readonly number[]): Promise<number> {
  let next = 0;
  const server = createServer((from) => {
    const to = connect(ports[next++ % ports.length]!, '127.0.0.1');
    from.pipe(to).pipe(from);
    from.on('error', () => to.destroy());
    to.on('error', () => from.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

test('added pods get their share of the events, and no event is lost', async ({ serve }) => {
  const pods = Array.from({ length: 6 }, () => new Recorder());
  const listening: number[] = [];
  const service = await startService(listening);
  const start = async (pod: Recorder) => listening.push((await serve(pod)).port);
  await start(pods[0]!);
  const sender = startSender(service);
  await sender.send(990);
  expect(pods[0]!.ingested).toHaveLength(990);
  for (const pod of pods.slice(1)) await start(pod);
  // Within 100 requests of each connection every one has moved; the others are spread evenly.
  await sender.send(12_000);
  const shares = pods.map((pod) => pod.ingested.length);
  expect(shares.reduce((sum, share) => sum + share)).toBe(12_990);
  expect(sender.failures).toBe(0);
  for (const share of shares.slice(1)) expect(share).toBeGreaterThan(500);
});

test('connections that were opened together do not end together', async ({ serve }) => {
  const { port } = await serve(new Recorder());
  const sockets = new Map<unknown, number>();
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  onTestFinished(() => agent.destroy());
  for (let sent = 0; sent < 2_000; sent++) {
    const [response] = await once(
      request({ port, host: '127.0.0.1', method: 'POST', agent, headers }).end(change),
      'response',
    );
    sockets.set(response.socket, (sockets.get(response.socket) ?? 0) + 1);
    await once(response.resume(), 'end');
  }
  const [, ...lengths] = [...sockets.values()].toReversed(); // the newest is not at its end
  expect(Math.min(...lengths)).toBeGreaterThanOrEqual(50);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(100);
  expect(new Set(lengths).size).toBeGreaterThan(lengths.length / 3);
});

test.for<[what: string, ms: number, turnover: Partial<TurnoverOptions>, opened: number]>([
  ['after 5 seconds', 5_000, {}, 2],
  ['not before half of that', 2_499, {}, 1],
  ['after the time that is configured', 60_000, { seconds: 60 }, 2],
])('a connection with few requests is closed %s', async ([, ms, turnover, opened], { serve }) => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { port } = await serve(new Recorder(), { turnover });
  const sender = startSender(port, 1);
  await sender.send(1);
  vi.advanceTimersByTime(ms);
  await sender.send(2);
  expect(sender.opened.size).toBe(opened);
});
