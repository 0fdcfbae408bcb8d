import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** The result of a closed loop of callers. */
export interface Seen {
  /** The number of answered events. */
  readonly answered: number;
  /** From the first event to the last answer. */
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Calls `call(n)` repeatedly with a fixed concurrency; waits for all calls that were started. */
export async function callers(
  inFlight: number,
  seconds: number,
  from: number,
  call: (n: number) => Promise<void>,
): Promise<Seen> {
  const latencies: number[] = [];
  const begun = performance.now();
  const end = begun + seconds * 1000;
  let next = from;
  const loop = async () => {
    for (let at = performance.now(); at < end;) {
      await call(next++);
      const now = performance.now();
      latencies.push(now - at);
      at = now;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return seen(latencies, begun);
}

/** Calls `call(n)` at a rate per second, with at most `inFlight` at a time; calls that are due wait for a free one. */
export async function pacedCallers(
  inFlight: number,
  seconds: number,
  from: number,
  rate: number,
  call: (n: number) => Promise<void>,
): Promise<Seen> {
  const latencies: number[] = [];
  const begun = performance.now();
  const end = begun + seconds * 1000;
  let next = from;
  const loop = async () => {
    for (;;) {
      const dueAt = begun + ((next - from) / rate) * 1000;
      if (dueAt >= end || performance.now() >= end) return;
      const n = next++;
      const early = dueAt - performance.now();
      if (early > 0) await sleep(early);
      await call(n);
      latencies.push(performance.now() - dueAt);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  return seen(latencies, begun);
}

/**
 * The same over HTTP: one request at a time on each of the kept-alive connections, as raw bytes, because
 * every microsecond spent here is one that the server does not get. A connection that the server closes
 * after its last answer is reopened.
 */
export async function posters(
  port: number,
  inFlight: number,
  seconds: number,
  from: number,
  request: (n: number) => string,
): Promise<Seen> {
  const latencies: number[] = [];
  const begun = performance.now();
  const end = begun + seconds * 1000;
  let next = from;
  const poster = () =>
    new Promise<void>((resolve, reject) => {
      let socket: Socket;
      let sentAt = 0;
      const post = () => {
        sentAt = performance.now();
        socket.write(request(next++), 'latin1');
      };
      const open = () => {
        socket = connect({ port, host: '127.0.0.1', noDelay: true }, post);
        socket.on('data', answered).on('error', reject);
      };
      const answered = (answer: Buffer) => {
        if (answer.toString('latin1', 0, 12) !== 'HTTP/1.1 204') {
          reject(new Error(`not a complete 204 answer: ${answer.toString('latin1', 0, 300)}`));
          return;
        }
        const now = performance.now();
        latencies.push(now - sentAt);
        if (now >= end) {
          socket.destroy();
          resolve();
        } else if (answer.includes('close')) {
          socket.destroy();
          open();
        } else {
          post();
        }
      };
      open();
    });
  await Promise.all(Array.from({ length: inFlight }, poster));
  return seen(latencies, begun);
}

function seen(latencies: number[], begun: number): Seen {
  const seconds = (performance.now() - begun) / 1000;
  const sorted = Float64Array.from(latencies).toSorted();
  const at = (share: number) => sorted[Math.floor(share * (sorted.length - 1))] ?? Number.NaN;
  return { answered: latencies.length, seconds, p50Ms: at(0.5), p99Ms: at(0.99) };
}
