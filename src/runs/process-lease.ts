import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Lease } from '../state/lease.ts';
import type { Runs } from '../state/runs/runs.ts';
import { LeaseLost } from './attempt-errors.ts';
import { type Heartbeat, now } from './heartbeat.ts';
import { type LeasedRuns, nameOf } from './leased-runs.ts';

/** ProcessLease is the lease of this process, which makes those of all its runs valid. */
export class ProcessLease {
  readonly #runs: Runs;
  readonly #seconds: number;
  readonly #leased: LeasedRuns;
  readonly #heartbeat: Heartbeat;
  #worker = randomUUID() as string;
  /** Runs that the last renewal returned and that were unknown here. */
  #unknown = new Set<string>();

  constructor(runs: Runs, seconds: number, leased: LeasedRuns, heartbeat: Heartbeat) {
    this.#runs = runs;
    this.#seconds = seconds;
    this.#leased = leased;
    this.#heartbeat = heartbeat;
  }

  /** Id under which this process holds leases. */
  get worker(): string {
    return this.#worker;
  }

  async register(): Promise<void> {
    const sentAt = now();
    await this.#runs.register(this.#worker, hostname(), this.#seconds);
    this.#heartbeat.renewed(this.#worker, sentAt);
  }

  /**
   * Renews the lease, and aborts each run that is no longer leased to this process; all of them if the lease has
   * ended, which then begins again under another id. Resolves with the runs that are leased but unknown here since
   * the renewal before (the response with their leases was lost); null if the lease had ended.
   */
  async renew(): Promise<Lease[] | null> {
    const before = [...this.#leased.values()];
    const sentAt = now();
    this.#heartbeat.beat();
    let held: Lease[] | null;
    try {
      held = await this.#runs.renew(this.#worker, this.#seconds);
    } catch (error) {
      if (now() - this.#heartbeat.renewedAt > this.#seconds * 1000) this.#abortAll();
      throw error;
    }
    if (held === null) {
      this.#abortAll();
      this.#worker = randomUUID();
      await this.register();
      return null;
    }
    this.#heartbeat.renewed(this.#worker, sentAt);
    const names = new Set(held.map(nameOf));
    for (const { lease, abort } of before) {
      if (!names.has(nameOf(lease))) abort.abort(new LeaseLost('the lease of this run was lost'));
    }
    const unknown = held.filter((lease) => !this.#leased.has(lease));
    const orphans = unknown.filter((lease) => this.#unknown.has(nameOf(lease)));
    this.#unknown = new Set(unknown.map(nameOf));
    return orphans;
  }

  /** Ends the lease. */
  async end(): Promise<void> {
    await this.#heartbeat.stop();
    await this.#runs.deregister(this.#worker).catch(() => {}); // the lease expires
  }

  #abortAll(): void {
    for (const { abort } of this.#leased.values()) {
      abort.abort(new LeaseLost('the leases of this process could not be renewed in time'));
    }
  }
}
