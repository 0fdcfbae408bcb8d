import { setTimeout as sleep } from 'node:timers/promises';
import type { Recording } from './source.ts';

/** Adds sets at a steady rate while a scene disturbs the pods that handle them. */
export class Load {
  added = 0;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  constructor(recording: Recording, perSecond: number, label: string) {
    this.#running = this.#run(recording, perSecond / 2, label);
  }

  /** Resolves once the last set is committed, with the number of sets. */
  async stop(): Promise<number> {
    this.#stopping.abort();
    await this.#running;
    return this.added;
  }

  async #run(recording: Recording, each: number, label: string): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await recording.add(each, label);
      this.added += each;
      await sleep(500, undefined, { signal }).catch(() => {});
    }
  }
}
