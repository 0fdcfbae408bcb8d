import { Forwarder, type KafkaRecord } from './forward.ts';
import type { Message } from '../../src/intake/wal/envelope.ts';

/** The KafkaSource that the demo simulates. */
export const KAFKA_SOURCE = { namespace: 'demo', name: 'signals' };
const TOPIC = 'postgres.datastore.signal';

/** Delivers Debezium's messages to the function, as Kafka and a KafkaSource would. */
export class Courier {
  readonly #forwarder: Forwarder;
  #offset = 0;
  #delivered = 0;

  /** `fn`: the function's address and readiness. */
  constructor(
    fn: { readonly address: string; readonly ready: Promise<void> },
    say: (line: string) => void,
  ) {
    this.#forwarder = new Forwarder({
      sink: fn.address,
      ready: () => fn.ready,
      ...KAFKA_SOURCE,
      onRefusal: ({ offset }, status, body) =>
        say(`the function permanently refused event ${offset}: ${status} ${body}`),
    });
  }

  /** Offsets start at 0 again in each demo run: Muster does not depend on them. */
  readonly deliver = async (message: Message) => {
    await this.#forwarder.room();
    const place = { topic: TOPIC, partition: 0, offset: this.#offset++ };
    return { delivered: this.#post({ ...place, timestamp: Date.now(), ...message }) };
  };

  /** The number of events that were answered 2xx. */
  get delivered(): number {
    return this.#delivered;
  }

  /** Events that are not delivered are sent again after the next start. */
  stop(): void {
    this.#forwarder.stop();
  }

  async #post(record: KafkaRecord): Promise<void> {
    await this.#forwarder.post(record);
    this.#delivered += 1;
  }
}
