import type { Message } from './envelope.ts';
import { Forwarder, type KafkaRecord, requestHeaders } from './forward.ts';
import type { Deliver } from './snapshot.ts';

/** The KafkaSource and the topic that are played. */
export const KAFKA_SOURCE = { namespace: 'demo', name: 'signals' };
const TOPIC = 'postgres.datastore.signal';

/** Takes Debezium's messages to the function, as Kafka and a KafkaSource would. */
export class Courier {
  readonly #sink: string;
  readonly #forwarder: Forwarder;
  #offset = 0;
  #delivered = 0;
  #example: KafkaRecord | undefined;

  /** `sink`: where the function listens. */
  constructor(sink: string, say: (line: string) => void) {
    this.#sink = sink;
    this.#forwarder = new Forwarder({
      sink,
      ...KAFKA_SOURCE,
      onRefusal: ({ offset }, status, body) =>
        say(`the function refused event ${offset} for good: ${status} ${body}`),
    });
  }

  /** Offsets begin at 0 with each start: nothing in Muster goes by them. */
  readonly deliver: Deliver = async (message) => {
    await this.#forwarder.room();
    const place = { topic: TOPIC, partition: 0, offset: this.#offset++ };
    return { delivered: this.#post({ ...place, timestamp: Date.now(), ...message }) };
  };

  /** Events that got their 2xx. */
  get delivered(): number {
    return this.#delivered;
  }

  /** What is not delivered comes again with the next start. */
  stop(): void {
    this.#forwarder.stop();
  }

  /** A command that sends an event which was just sent once more, and shows what is known of its set. */
  get curl(): string | undefined {
    if (!this.#example) return undefined;
    return curlCommand(this.#sink, this.#example);
  }

  async #post(record: KafkaRecord): Promise<void> {
    await this.#forwarder.post(record);
    this.#delivered += 1;
    if (isExample(record)) this.#example ??= record;
  }
}

/** A new signal that belongs to a set, and is short enough for a line. */
export function isExample({ value }: Message): boolean {
  if (value === null || value.length > 1500) return false;
  return value.includes('"op":"c"') && !value.includes('"sensor_type":"ecg"');
}

/** Posts the record's event, and shows what is known of its set. */
export function curlCommand(sink: string, record: KafkaRecord): string {
  const attributes = requestHeaders(record, KAFKA_SOURCE).filter(([name]) =>
    name.startsWith('ce-'),
  );
  const headers = [
    ['Prefer', 'return=representation'],
    ['content-type', 'application/json'],
    ...attributes,
  ].map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  return `curl -sS ${sink} ${headers.join(' ')} -d ${quote(record.value ?? '')}`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
