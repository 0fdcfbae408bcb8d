import type { IHeaders, Kafka, Producer } from 'kafkajs';
import type { Failure } from './delivery.ts';
import type { SourceEvent } from './event.ts';

/** Writes events to a topic as a KafkaSink with `contentMode: binary` does. */
export class DeadLetterTopic {
  readonly #producer: Producer;
  readonly #topic: string;
  #connecting: Promise<void> | undefined;

  constructor(kafka: Kafka, topic: string) {
    this.#producer = kafka.producer({ idempotent: true });
    this.#topic = topic;
  }

  /** Returns null once the event is stored. */
  async send(event: SourceEvent): Promise<Failure | null> {
    const key = event.extensions.get('partitionkey') ?? null;
    const message = { key, value: event.data, headers: binaryHeaders(event) };
    try {
      await (this.#connecting ??= this.#producer.connect());
      await this.#producer.send({ topic: this.#topic, messages: [message] });
      return null;
    } catch (error) {
      return { sink: `kafka:${this.#topic}`, answer: null, error: String(error) };
    }
  }

  async stop(): Promise<void> {
    if (this.#connecting) await this.#producer.disconnect().catch(() => {});
  }
}

function binaryHeaders({ attributes, extensions }: SourceEvent): IHeaders {
  return Object.fromEntries(
    [...attributes, ...extensions].map(([name, value]) => [
      name === 'datacontenttype' ? 'content-type' : `ce_${name}`,
      value,
    ]),
  );
}
