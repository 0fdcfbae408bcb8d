import type { KafkaRecord } from './event.ts';
import { Offsets } from './offsets.ts';

/** An assigned partition: its queued records, the number in flight, and the offset that can be committed. */
export class Partition {
  readonly topic: string;
  readonly number: number;
  readonly offsets = new Offsets();
  readonly waiting: KafkaRecord[] = [];
  inFlight = 0;
  isPaused = false;
  #committed: bigint | null = null;

  constructor(topic: string, number: number) {
    this.topic = topic;
    this.number = number;
  }

  /** The offset to commit; undefined if there is nothing new. */
  get uncommitted(): bigint | undefined {
    const { committable } = this.offsets;
    return committable === null || committable === this.#committed ? undefined : committable;
  }

  committed(offset: bigint): void {
    this.#committed = offset;
  }
}
