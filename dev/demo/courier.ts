import { Forwarder, type KafkaRecord } from './forward.ts';
import type { Deliver } from '../embedded-debezium/snapshot.ts';

/** The KafkaSource and the topic that are played. */
export const KAFKA_SOURCE = { namespace: 'demo', name: 'signals' };
const TOPIC = 'postgres.datastore.signal';

/** Takes Debezium's messages to the function, as Kafka and a KafkaSource would. */
export class Courier {
  readonly #forwarder: Forwarder;
  #offset = 0;
  #delivered = 0;

  /** `fn`: where the function listens, and when. */
  constructor(
    fn: { readonly address: string; readonly ready: Promise<void> },
    say: (line: string) => void,
  ) {
    this.#forwarder = new Forwarder({
      sink: fn.address,
      ready: () => fn.ready,
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

  async #post(record: KafkaRecord): Promise<void> {
    await this.#forwarder.post(record);
    this.#delivered += 1;
  }
}
