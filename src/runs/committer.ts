import type { Log } from '../function.ts';
import type { Lease } from '../state/lease.ts';
import { finishing, type FinishedRun, type OutboxEvent, type Runs } from '../state/runs/runs.ts';
import type { Attempt, HandlerCall } from './attempt.ts';
import { LeaseLost } from './attempt-errors.ts';
import { Coalescer } from './coalescer.ts';
import { untilAnswered } from './until-answered.ts';

/** Committer commits what handlers have written, with the marker that their runs are done. */
export class Committer {
  readonly #runs: Runs;
  readonly #completer: Coalescer<FinishedRun>;

  constructor(runs: Runs) {
    this.#runs = runs;
    this.#completer = new Coalescer((finished) => runs.finish(finished));
  }

  /**
   * Commits the writes and events of a call and the end of its runs, together. Returns for each attempt whether its
   * lease was held, or the error of one that can't be committed; throws if nothing was.
   */
  commit(call: HandlerCall, events: readonly OutboxEvent[][]): Promise<(boolean | Error)[]> {
    const finished = call.attempts.map(({ lease, trace }, i) => ({
      lease,
      trace,
      events: events[i]!,
    }));
    return call.tx.isOpen ? this.#commitTx(call, finished) : this.#commitWithoutTx(call, finished);
  }

  /**
   * Commits the handler's transaction, in which the runs are marked done. Throws {@link LeaseLost} if one of several
   * leases was lost; returns whether the single one was held.
   */
  async #commitTx(
    { attempts, log, tx, watchedTx }: HandlerCall,
    finished: readonly FinishedRun[],
  ): Promise<boolean[]> {
    try {
      const isHeld = await tx.commit(finishing(finished));
      if (!isHeld && attempts.length > 1) throw new LeaseLost('the lease of a run was lost');
      return attempts.map(() => isHeld);
    } catch (error) {
      if (error instanceof LeaseLost) throw error;
      // only the answer to COMMIT may have been lost
      const isDone = await untilAnswered(() => this.#runs.isDone(firstLocked(attempts)), log);
      if (isDone) return attempts.map(() => true);
      watchedTx.note(error);
      throw error;
    }
  }

  /**
   * Marks runs done whose handler wrote nothing, each by itself; returns which of their leases were held, or the
   * error of one whose events can't be stored.
   */
  async #commitWithoutTx(
    { log, tx, leaveSlot }: HandlerCall,
    finished: readonly FinishedRun[],
  ): Promise<(boolean | Error)[]> {
    await tx.abandon(); // a query that the handler did not await must not begin the transaction now
    leaveSlot();
    return Promise.all(
      finished.map((each) => this.#finish(each, log).catch((error: Error) => error)),
    );
  }

  #finish(finished: FinishedRun, log: Log): Promise<boolean> {
    let isInDoubt = false;
    return untilAnswered(async () => {
      try {
        if (await this.#completer.add(finished)) return true;
        return isInDoubt && (await this.#runs.isDone(finished.lease));
      } catch (error) {
        isInDoubt = true;
        throw error;
      }
    }, log);
  }
}

/** Returns the lease whose set the statement that marks runs done locks first; see finish-runs.sql. */
function firstLocked(attempts: readonly Attempt[]): Lease {
  return attempts
    .map(({ lease }) => lease)
    .reduce((first, lease) => (lease.keyHash < first.keyHash ? lease : first));
}
