import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceEvent } from './event.ts';
import { type Answer, childSpan, eventHeaders, post } from './request.ts';

/** `spec.delivery` of a KafkaSource. */
export interface Delivery {
  /** Tries after the first. */
  readonly retry: number;
  readonly backoffPolicy: 'linear' | 'exponential';
  /** Milliseconds. */
  readonly backoffDelay: number;
  /** Milliseconds. */
  readonly timeout: number;
}

/** What holds where the manifest has no `spec.delivery` at all: ten minutes in sum. */
export const DEFAULT_DELIVERY: Delivery = {
  retry: 10,
  backoffPolicy: 'exponential',
  backoffDelay: 300,
  timeout: 600_000,
};

/** Why an event was given up: the last answer, or the error if none came. */
export interface Failure {
  readonly sink: string;
  readonly answer: Answer | null;
  readonly error: string;
}

/** Where events go that were given up. */
export type DeadLetterSink = (event: SourceEvent) => Promise<Failure | null>;

const RETRIED = new Set([404, 408, 409, 429]);

/** Milliseconds before try n + 1. */
export function backoff({ backoffPolicy, backoffDelay }: Delivery, n: number): number {
  return backoffPolicy === 'linear' ? backoffDelay * n : backoffDelay * 2 ** n;
}

/** Posts events to one sink, with the tries of a KafkaSource. */
export class Sender {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 100 });
  readonly #stopping = new AbortController();
  readonly #namespace: string;
  readonly #delivery: Delivery;
  /** Tries that were not the first. */
  retries = 0;

  constructor(namespace: string, delivery: Delivery) {
    this.#namespace = namespace;
    this.#delivery = delivery;
  }

  /** Null once the event got its 2xx; the last failure when the tries are used up. Rejects after `stop`. */
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
        .then((answer) => judge(sink, answer))
        .catch((error: Error) => ({ sink, answer: null, error: error.message }));
      if (failure === null) return null;
      signal.throwIfAborted();
      if (n > retry || isFinal(failure)) return failure;
      await sleep(backoff(this.#delivery, n), undefined, { signal });
      this.retries += 1;
    }
  }

  /** Gives up what is under way. */
  stop(): void {
    this.#stopping.abort();
    this.#agent.destroy();
  }
}

function judge(sink: string, answer: Answer): Failure | null {
  if (answer.status >= 200 && answer.status < 300) return null;
  return { sink, answer, error: `status ${answer.status}` };
}

function isFinal({ answer }: Failure): boolean {
  return answer !== null && answer.status < 500 && !RETRIED.has(answer.status);
}

/** The event with the reason it was given up for. */
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
