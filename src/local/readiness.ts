import { randomUUID } from 'node:crypto';
import { taken } from './port.ts';

/** Checks whether the process that has `env` in its environment serves at an address and is ready. */
export class Readiness {
  readonly #instance = randomUUID();
  readonly env = { INSTANCE_ID: this.#instance };

  /** Returns whether it is ready; throws if another process took the port first and answers there. */
  async at(address: string): Promise<boolean> {
    const signal = AbortSignal.timeout(5_000);
    const url = new URL('health/readiness', address);
    const answer = await fetch(url, { signal }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => {}); // an unread body keeps its connection open
    if (answer === undefined) return false;
    if (answer.headers.get('muster-instance') === this.#instance) return answer.ok;
    throw new Error(await taken(Number(new URL(address).port)));
  }
}
