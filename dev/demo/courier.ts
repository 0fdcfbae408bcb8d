import type { FollowedChange } from '../../src/local/follow-tables.ts';
import { Forwarder } from './forward.ts';

/** The KafkaSource that the demo simulates. */
export const KAFKA_SOURCE = { namespace: 'demo', name: 'signals' };
const TOPIC = 'postgres.datastore.signal';

/** Delivers changes of the headbands' table to the function, as Debezium, Kafka and a KafkaSource would. */
export class Courier {
  readonly #forwarder: Forwarder;
  #offset = 0;
  #underWay = 0;
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

  /** Resolves once the change is answered for good. Offsets start at 0 in each run: Muster does not depend on them. */
  async deliver(change: FollowedChange): Promise<void> {
    this.#underWay += 1;
    try {
      await this.#forwarder.post({
        topic: TOPIC,
        partition: 0,
        offset: this.#offset++,
        timestamp: Date.now(),
        key: change.kind === 'row' ? JSON.stringify({ id: change.row['id'] }) : null,
        value: Buffer.from(change.origin.body).toString(),
      });
      this.#delivered += 1;
    } finally {
      this.#underWay -= 1;
    }
  }

  /** The number of changes that were answered for good. */
  get delivered(): number {
    return this.#delivered;
  }

  /** The number of changes that are not answered yet. */
  get lag(): number {
    return this.#underWay;
  }

  /** Changes that are not delivered are sent again after the next start. */
  stop(): void {
    this.#forwarder.stop();
  }
}
