import type { Attributes } from '@opentelemetry/api';
import { Kafka as KafkaBinding } from 'cloudevents';
import kafkajs, { type Kafka, type Message, type Producer } from 'kafkajs';
import { TIMED_OUT, withTimeout } from '../lib/timeout.ts';
import { toCloudEvent, type Delivery, type Outgoing, type Sink } from './http-sink.ts';

// Node finds only some names of this CommonJS package; CompressionTypes is not among them.
const { CompressionTypes, Partitioners } = kafkajs;

/** Below the time after which another process may take the event. */
const TIMEOUT_MS = 30_000;
/**
 * One more try mends a leader that moved. The outbox has all the patience: what kafkajs waits for here,
 * it would not find out sooner that a broker is back.
 */
export const RETRY = { initialRetryTime: 100, retries: 1 };
/** Answers that no retry can mend, of Kafka's protocol: this record, as it is, will never be taken. */
const REFUSALS = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD']);
/** Muster is not let in, or not to this topic: an operator has to change that. kafkajs gives a failed login no type. */
const BLOCKED = /AUTHORIZATION_FAILED$|^SASL_AUTHENTICATION_FAILED$|SASLAuthenticationError$/;

interface Item {
  readonly message: Message;
  readonly settle: (delivery: Delivery) => void;
}

/**
 * Writes events to a topic: CloudEvents in binary mode (Kafka protocol binding 1.0.2), keyed by set so
 * that those of a set stay in order, by an idempotent producer, acknowledged by all replicas that are
 * in sync. Gzip, which every client reads; the topic's `compression.type` may say otherwise.
 */
export class KafkaSink implements Sink {
  readonly name: string;
  readonly attributes: Attributes;
  readonly #kafka: Kafka;
  readonly #topic: string;
  readonly #extensions: Readonly<Record<string, string>>;
  #queue: Item[] = [];
  #producer: Promise<Producer> | null = null;

  constructor(kafka: Kafka, topic: string, extensions: Readonly<Record<string, string>>) {
    this.name = `topic ${topic}`;
    this.attributes = { 'messaging.system.name': 'kafka', 'messaging.destination.name': topic };
    this.#kafka = kafka;
    this.#topic = topic;
    this.#extensions = extensions;
  }

  /** Events that are sent in one turn of the event loop share a request. */
  async send(event: Outgoing, signal: AbortSignal): Promise<Delivery> {
    const message = toMessage(event, this.#extensions);
    return new Promise((resolve) => {
      const settle = (delivery: Delivery) => {
        signal.removeEventListener('abort', giveUp);
        resolve(delivery);
      };
      const giveUp = () =>
        settle({ kind: 'again', error: `${this.name}: ${(signal.reason as Error).message}` });
      if (signal.aborted) return giveUp();
      signal.addEventListener('abort', giveUp);
      if (this.#queue.push({ message, settle }) === 1) setImmediate(() => void this.#flush());
    });
  }

  async close(): Promise<void> {
    await this.#discard();
  }

  async #flush(): Promise<void> {
    await this.#write(this.#queue.splice(0));
  }

  async #write(items: readonly Item[]): Promise<void> {
    try {
      const produced = this.#produce(items.map(({ message }) => message));
      if ((await withTimeout(produced, TIMEOUT_MS)) === TIMED_OUT) {
        throw new Error(`no answer within ${TIMEOUT_MS / 1000} s`);
      }
      for (const { settle } of items) settle({ kind: 'sent' });
    } catch (error) {
      const reason = `${this.name}: ${(error as Error).message}`;
      if (!REFUSALS.has(typeOf(error))) {
        // Whatever state it is in: a new one costs less than to find out.
        void this.#discard();
        const kind = BLOCKED.test(typeOf(error)) ? 'blocked' : 'again';
        for (const { settle } of items) settle({ kind, error: reason });
      } else if (items.length > 1) {
        for (const item of items) await this.#write([item]);
      } else {
        items[0]!.settle({ kind: 'refused', error: reason });
      }
    }
  }

  async #produce(messages: Message[]): Promise<void> {
    this.#producer ??= this.#connect();
    const producer = await this.#producer;
    await producer.send({
      topic: this.#topic,
      acks: -1,
      compression: CompressionTypes.GZIP,
      messages,
    });
  }

  async #connect(): Promise<Producer> {
    const producer = this.#kafka.producer({
      idempotent: true,
      allowAutoTopicCreation: false,
      createPartitioner: Partitioners.DefaultPartitioner,
      retry: RETRY,
    });
    await producer.connect();
    return producer;
  }

  async #discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = null;
    await (await producer?.catch(() => undefined))?.disconnect().catch(() => {});
  }
}

function toMessage(event: Outgoing, extensions: Readonly<Record<string, string>>): Message {
  const { headers } = KafkaBinding.binary(toCloudEvent(event, extensions));
  const { ce_datacontenttype: _, ...attributes } = headers as Record<string, string | undefined>;
  return {
    key: event.key,
    value: event.data,
    headers: {
      ...Object.fromEntries(
        Object.entries(attributes).filter(
          (each): each is [string, string] => each[1] !== undefined,
        ),
      ),
      ...(event.hop && { traceparent: event.hop }),
    },
  };
}

/** The type that Kafka's protocol gives an error, also within one that says how often it was tried; or its name. */
function typeOf(error: unknown): string {
  const { type, cause, name } = error as { type?: string; cause?: unknown; name?: string };
  return type ?? (cause === undefined ? (name ?? '') : typeOf(cause));
}
