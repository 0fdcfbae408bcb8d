import type { Lease } from '../state/lease.ts';
import { nameOf } from './leased-runs.ts';

/** OpenClaims finds the claims whose runs have all ended, so that their leases can be deleted. */
export class OpenClaims {
  readonly #runs = new Map<string, Set<string>>();
  #ended: string[] = [];
  readonly #onEnded: (claims: readonly string[]) => void;

  constructor(onEnded: (claims: readonly string[]) => void) {
    this.#onEnded = onEnded;
  }

  add(lease: Lease): void {
    const runs = this.#runs.get(lease.claim);
    if (runs === undefined) this.#runs.set(lease.claim, new Set([nameOf(lease)]));
    else runs.add(nameOf(lease));
  }

  end(lease: Lease): void {
    const { claim } = lease;
    const runs = this.#runs.get(claim);
    if (!runs?.delete(nameOf(lease)) || runs.size > 0) return;
    this.#runs.delete(claim);
    // Waiting one turn of the event loop lets claims that end together share a statement.
    if (this.#ended.push(claim) === 1) setImmediate(() => this.#onEnded(this.#ended.splice(0)));
  }
}
