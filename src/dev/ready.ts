import { randomUUID } from 'node:crypto';

/**
 * Tells whether the process that got `env` in its environment serves at an address and is ready. Another
 * process that answers there, because it had the port first, is not taken for it.
 */
export class Readiness {
  readonly #instance = randomUUID();
  readonly env = { INSTANCE_ID: this.#instance };

  async at(address: string): Promise<boolean> {
    const answer = await fetch(new URL('health/readiness', address)).catch(() => undefined);
    return answer?.ok === true && answer.headers.get('muster-instance') === this.#instance;
  }
}
