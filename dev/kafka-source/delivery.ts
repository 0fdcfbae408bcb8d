import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceEvent } from './event.ts';
import { type Answer, childSpan, eventHeaders, post } from './request.ts';

/** `spec.delivery` of a KafkaSource. */
export interface Delivery {
  /** Maximum number of retries. */
  readonly retry: number;
  readonly backoffPolicy: 'linear' | 'exponential';
  /** Milliseconds. */
  readonly backoffDelay: number;
  /** Milliseconds. */
  readonly timeout: number;
}

/** Applies if the manifest has no `spec.delivery`: ten minutes in total. */
export const DEFAULT_DELIVERY: Delivery = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 300,
  timeout: 600_000,
};

/** Why the delivery of an event failed: the last answer, or the error if there was none. */
export interface Failure {
  readonly sink: string;
  readonly answer: Answer | null;
  readonly error: string;
}

/** The destination of events whose delivery failed. */
export type DeadLetterSink = (event: SourceEvent) => Promise<Failure | null>;

const RETRIED = new Set([404, 408, 409, 429]);

/** The delay before attempt n + 1, in milliseconds. */
export function backoff({ backoffPolicy, backoffDelay }: Delivery, n: number): number {
  return backoffPolicy === 'linear' ? backoffDelay * n : backoffDelay * 2 ** n;
}

/** Posts events to one sink, with the retries of a KafkaSource. */
export class Sender {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 100 });
  readonly #stopping = new AbortController();
  readonly #namespace: string;
  readonly #delivery: Delivery;
  /** The number of retries so far. */
  retries = 0;

  constructor(namespace: string, delivery: Delivery) {
    this.#namespace = namespace;
    this.#delivery = delivery;
  }

  /** Returns null once the event is answered 2xx, or the last failure after all retries. Rejects after `stop`. */
  async send(sink: string, event: SourceEvent, traceparent?: string): Promise<Failure | null> {
    const span = childSpan(traceparent);
    const message = {
      headers: eventHeaders(event, this.#namespace),
      data: event.data,
      last: span === undefined ? [] : ([['traceparent', span]] as [string, string][]),
    };
    const { signal } = this.#stopping;
    const { retry, timeout } = this.#delivery;
    for (let n = 1; ; n += 1) {
      const failure = await post(sink, message, { agent: this.#agent, signal, timeout })
        .then((answer) => failureOf(sink, answer))
        .catch((error: Error) => ({ sink, answer: null, error: error.message }));
      if (failure === null) return null;
      signal.throwIfAborted();
      if (n > retry || isFinal(failure)) return failure;
      await sleep(backoff(this.#delivery, n), undefined, { signal });
      this.retries += 1;
    }
  }

  /** Aborts the requests in flight. */
  stop(): void {
    this.#stopping.abort();
    this.#agent.destroy();
  }
}

function failureOf(sink: string, answer: Answer): Failure | null {
  if (answer.status >= 200 && answer.status < 300) return null;
  return { sink, answer, error: `status ${answer.status}` };
}

function isFinal({ answer }: Failure): boolean {
  return answer !== null && answer.status < 500 && !RETRIED.has(answer.status);
}

/** Returns the event with the reason for its failure. */
export function toDeadLetter(event: SourceEvent, { sink, answer }: Failure): SourceEvent {
  const extensions = new Map(event.extensions);
  extensions.set('knativeerrordest', sink);
  if (answer) {
    extensions.set('knativeerrorcode', String(answer.status));
    if (answer.body.length > 0) {
      extensions.set('knativeerrordata', answer.body.subarray(0, 1024).toString('base64'));
    }
    for (const [name, value] of Object.entries(answer.headers)) {
      if (/^kne-[a-z0-9]+$/.test(name)) extensions.set(name.slice(4), String(value));
    }
  }
  return { ...event, extensions };
}
