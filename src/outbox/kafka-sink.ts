import type { Attributes } from '@opentelemetry/api';
import { Kafka as KafkaBinding } from 'cloudevents';
import kafkajs, { type Kafka, type Message, type Producer } from 'kafkajs';
import { errorText } from '../lib/error-text.ts';
import { TIMED_OUT, withTimeout } from '../lib/timeout.ts';
import { toCloudEvent, type SendResult, type Sink, type SinkEvent } from './sink.ts';

// Node detects only some of the exports of this CommonJS package; CompressionTypes is not among them.
const { CompressionTypes, Partitioners } = kafkajs;

/** Less than the time after which another process may claim the event. */
const TIMEOUT_MS = 30_000;
/**
 * One retry is enough for a partition leader that moved. All other retries are left to the outbox: longer retries
 * by kafkajs would not detect sooner that a broker is available again.
 */
export const RETRY = { initialRetryTime: 100, retries: 1 };
/** Errors of Kafka's protocol that concern the record itself, which will never be accepted. */
const REFUSALS = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD']);
/** Failed authentication or authorization, which an operator has to fix. kafkajs gives a failed login no type. */
const BLOCKED = /AUTHORIZATION_FAILED$|^SASL_AUTHENTICATION_FAILED$|SASLAuthenticationError$/;

interface Item {
  readonly message: Message;
  readonly resolve: (result: SendResult) => void;
}

/**
 * KafkaSink writes events to a topic: CloudEvents in binary mode (Kafka protocol binding 1.0.2), keyed by set
 * so that those of a set stay in order, by an idempotent producer, acknowledged by all in-sync replicas.
 * Records are compressed with gzip, which every client reads; the topic's `compression.type` overrides it.
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
  async send(event: SinkEvent, signal: AbortSignal): Promise<SendResult> {
    const message = toMessage(event, this.#extensions);
    return new Promise((done) => {
      const resolve = (result: SendResult) => {
        signal.removeEventListener('abort', giveUp);
        done(result);
      };
      const giveUp = () =>
        resolve({ kind: 'again', error: `${this.name}: ${errorText(signal.reason)}` });
      if (signal.aborted) return giveUp();
      signal.addEventListener('abort', giveUp);
      if (this.#queue.push({ message, resolve }) === 1) setImmediate(() => void this.#flush());
    });
  }

  async close(): Promise<void> {
    await this.#discardProducer();
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
      for (const { resolve } of items) resolve({ kind: 'sent' });
    } catch (error) {
      const reason = `${this.name}: ${errorText(error)}`;
      if (!REFUSALS.has(typeOf(error))) {
        // creating a new producer is cheaper than determining the state of this one
        void this.#discardProducer();
        const kind = BLOCKED.test(typeOf(error)) ? 'blocked' : 'again';
        for (const { resolve } of items) resolve({ kind, error: reason });
      } else if (items.length > 1) {
        for (const item of items) await this.#write([item]);
      } else {
        items[0]!.resolve({ kind: 'refused', error: reason });
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

  async #discardProducer(): Promise<void> {
    const producer = this.#producer;
    this.#producer = null;
    await (await producer?.catch(() => undefined))?.disconnect().catch(() => {});
  }
}

function toMessage(event: SinkEvent, extensions: Readonly<Record<string, string>>): Message {
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

/** Returns the type of an error of Kafka's protocol, even if kafkajs has wrapped it after retries; otherwise its name. */
function typeOf(error: unknown): string {
  const { type, cause, name } = error as { type?: string; cause?: unknown; name?: string };
  return type ?? (cause === undefined ? (name ?? '') : typeOf(cause));
}
