/**
 * Sends records that were never in Kafka to a function as a Knative KafkaSource does: byte-identical
 * requests, unordered, retried on the same answers. One difference: a KafkaSource drops an event after its
 * last retry; this one never gives up. kafka-source/ is the one for a real Kafka.
 */
import { Agent } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Semaphore } from '../../src/lib/semaphore.ts';
import { toEvent } from '../kafka-source/event.ts';
import { eventHeaders, post } from '../kafka-source/request.ts';

/** A record as the KafkaSource receives it from Kafka. */
export interface KafkaRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Epoch milliseconds. */
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
}

export interface ForwarderOptions {
  /** Where the function listens. */
  readonly sink: string;
  /** Awaited before each request: resolves once the expected process serves at `sink`. */
  readonly ready?: () => Promise<void>;
  /** The KafkaSource to simulate. */
  readonly namespace: string;
  readonly name: string;
  /** Maximum number of requests in flight, and of those that wait for a retry; 50 by default. */
  readonly inFlight?: number;
  /** Delay before the first retry, in milliseconds; the n-th is n times as long, up to 5 s. */
  readonly backoff?: number;
  /** Timeout of a request, in milliseconds; 30 s by default. */
  readonly timeout?: number;
  /** Called with an answer that is final. */
  readonly onRefusal?: (record: KafkaRecord, status: number, body: string) => void;
}

/** Knative retries 404 to 429 and 5xx; every other status is final. */
const RETRIED = new Set([404, 408, 409, 429]);

export class Forwarder {
  readonly #options: Required<Omit<ForwarderOptions, 'onRefusal'>> & ForwarderOptions;
  readonly #agent: Agent;
  readonly #stopping = new AbortController();
  readonly #room: Semaphore;

  constructor(options: ForwarderOptions) {
    const defaults = { ready: async () => {}, inFlight: 50, backoff: 200, timeout: 30_000 };
    this.#options = { ...defaults, ...options };
    this.#room = new Semaphore(this.#options.inFlight);
    this.#agent = new Agent({ keepAlive: true });
  }

  /** Resolves once the record has been answered 2xx or with a final status; rejects after `stop`. */
  async post(record: KafkaRecord): Promise<void> {
    const { ready, backoff, onRefusal } = this.#options;
    const { signal } = this.#stopping;
    await this.#room.enter();
    try {
      for (let attempt = 1; ; attempt += 1) {
        signal.throwIfAborted();
        await unlessAborted(ready(), signal);
        const { status, body } = await this.#send(record).catch(noAnswer);
        if (status >= 200 && status < 300) return;
        if (status > 0 && status < 500 && !RETRIED.has(status)) {
          return onRefusal?.(record, status, body);
        }
        await sleep(Math.min(attempt * backoff, 5_000), undefined, { signal });
      }
    } finally {
      this.#room.leave();
    }
  }

  /** Aborts the requests in flight. */
  stop(): void {
    this.#stopping.abort();
    this.#agent.destroy();
  }

  async #send(record: KafkaRecord): Promise<Answer> {
    const { sink, timeout } = this.#options;
    const headers = requestHeaders(record, this.#options);
    const message = { headers, data: toBytes(record.value), last: [] };
    const by = { agent: this.#agent, signal: this.#stopping.signal, timeout };
    const { status, body } = await post(sink, message, by);
    return { status, body: body.toString() };
  }
}

interface Answer {
  /** 0 if there was no answer. */
  readonly status: number;
  readonly body: string;
}

/** Settles as `work` does, or rejects once the signal is aborted. */
async function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function noAnswer(error: Error): Answer {
  return { status: 0, body: error.message };
}

/** The headers of a plain record in wire order, without content-length and host. */
export function requestHeaders(
  record: KafkaRecord,
  source: Pick<ForwarderOptions, 'namespace' | 'name'>,
): [string, string][] {
  const event = toEvent(
    {
      ...record,
      offset: String(record.offset),
      key: toBytes(record.key),
      value: toBytes(record.value),
      headers: [],
    },
    source,
  );
  return eventHeaders(event, source.namespace);
}

function toBytes(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text);
}
