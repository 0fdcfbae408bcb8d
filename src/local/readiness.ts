import { randomUUID } from 'node:crypto';
import { taken } from './port.ts';

/** Checks whether the process that has `env` in its environment serves at an address and is ready. */
export class Readiness {
  readonly #instance = randomUUID();
  readonly env = { INSTANCE_ID: this.#instance };

  /** Returns whether it is ready; throws if another process took the port first and answers there. */
  async at(address: string): Promise<boolean> {
    return (await this.#answerOf(address))?.ok ?? false;
  }

  /** Returns whether it answers, even that it is not ready; throws as `at` does. */
  async isListening(address: string): Promise<boolean> {
    return (await this.#answerOf(address)) !== undefined;
  }

  async #answerOf(address: string): Promise<Response | undefined> {
    const signal = AbortSignal.timeout(5_000);
    const url = new URL('health/readiness', address);
    const answer = await fetch(url, { signal }).catch(() => undefined);
    await answer?.arrayBuffer().catch(() => {}); // an unread body keeps its connection open
    if (answer === undefined) return undefined;
    if (answer.headers.get('muster-instance') === this.#instance) return answer;
    throw new Error(await taken(Number(new URL(address).port)));
  }
}
