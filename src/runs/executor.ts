import {
  partsOf,
  type PartOf,
  type RegisteredFunction,
} from '../definitions/registered-function.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import { framesOf, redactedErrorText } from '../lib/error-text.ts';
import { failpoint } from '../lib/failpoint.ts';
import { waitAfter } from '../lib/retry.ts';
import type { Database } from '../state/database/database.ts';
import { HandlerTx } from '../state/database/handler-tx.ts';
import type { Lease } from '../state/lease.ts';
import { type OutboxEvent, type Runs } from '../state/runs/runs.ts';
import { contextOf, endFailed, runSpan, within } from '../telemetry/spans.ts';
import { abortOf, type Attempt, type HandlerCall } from './attempt.ts';
import {
  describeError,
  errorTypeOf,
  isFinal,
  isInterrupted,
  LeaseLost,
  ShutDown,
  TimedOut,
} from './attempt-errors.ts';
import type { AttemptFailure, AttemptResult } from './attempt-result.ts';
import { callHandler } from './call-handler.ts';
import { Coalescer } from './coalescer.ts';
import { Committer } from './committer.ts';
import { Faults, WatchedTx } from './faults.ts';
import { batchFor, type FunctionHandler, toFunctionHandler } from './function-handler.ts';
import { withFields } from './handler-log.ts';
import { isLargeSet, loadSet } from './load-set.ts';
import { LoopWatch } from './loop-watch.ts';
import { runIdOf } from './run-id.ts';
import type { LeasedRun, QueuedRun } from './run-queue.ts';
import { untilAnswered } from './until-answered.ts';

export interface ExecutorOptions {
  readonly database: Database;
  readonly runs: Runs;
  readonly functions: readonly {
    readonly definition: FunctionDefinition;
    readonly served: RegisteredFunction;
  }[];
  /** Maximum size of the rows of a set. */
  readonly maxSetBytes: number;
  readonly log: Log;
  readonly onResult: (fn: string, result: AttemptResult, seconds: number) => void;
  /** Called when handlers of these functions have blocked the event loop for `seconds`. */
  readonly onBlocked: (functions: readonly string[], seconds: number) => void;
}

const TAKEN_OVER = 'another worker took this run over; nothing of this attempt was committed';
const FENCED: AttemptResult = { outcome: 'fenced', events: 0, errorType: null };
const RELEASED: AttemptResult = { outcome: 'released', events: 0, errorType: null };

interface Release {
  readonly waitMs?: number;
  /** Whether each of the runs is to run alone. */
  readonly isAlone?: boolean;
  /** Error of the database that is the reason, or null. */
  readonly fault?: unknown;
}

/** Executor executes leased runs that have a slot. */
export class Executor {
  /** By the id of the function. */
  readonly handlers: ReadonlyMap<number, FunctionHandler>;
  readonly partOf: PartOf;
  readonly #options: ExecutorOptions;
  readonly #committer: Committer;
  readonly #starts: Coalescer<Lease>;
  readonly #faults = new Faults();
  readonly #watch: LoopWatch;

  /**
   * `onBeat` is called while handlers are running, whenever the event loop turns, with the longest timeout among
   * them.
   */
  constructor(options: ExecutorOptions, onBeat: (longestMs: number) => void) {
    const { runs, functions, onBlocked } = options;
    this.#options = options;
    this.partOf = partsOf(functions.map(({ served }) => served));
    this.handlers = new Map(
      functions.map(({ definition, served }) => [served.id, toFunctionHandler(definition, served)]),
    );
    const timeouts = new Map(
      [...this.handlers.values()].map((each) => [each.definition.name, each.timeoutMs]),
    );
    this.#committer = new Committer(runs);
    this.#starts = new Coalescer((leases) => runs.recordStarts(leases));
    this.#watch = new LoopWatch({
      onBeat: (names) => onBeat(Math.max(0, ...names.map((name) => timeouts.get(name)!))),
      onBlocked: (ms, names) => onBlocked(names, ms / 1000),
    });
  }

  /**
   * Executes one attempt of each run: records the start, loads the rows, calls the handler, commits, classifies a
   * failure and records it. Several runs are executed together, and their rows are loaded. Resolves with false,
   * without having done anything, if a run must wait for another large one. Never rejects.
   */
  async execute(
    queued: readonly QueuedRun[],
    leased: readonly LeasedRun[],
    leaveSlot: () => void,
  ): Promise<boolean> {
    const startedAt = performance.now();
    const handler = this.handlers.get(queued[0]!.lease.function)!;
    const { name } = handler.definition;
    const loaded = await Promise.all(
      queued.map((run) => this.#load(run, handler).catch((error: Error) => error)),
    );
    const attempts: Attempt[] = [];
    for (const [i, members] of loaded.entries()) {
      if (members === null) return false;
      const { lease, abort } = leased[i]!;
      // If the process dies, none of the sets that share a call is charged for it; each runs alone after that.
      leased[i]!.isUnrecorded = queued[i]!.members !== null && batchFor(handler, lease) === null;
      const span = runSpan(name, lease, members instanceof Error ? [] : members);
      attempts.push({ lease, abort, members, span, trace: contextOf(span), startedAt });
    }
    this.#watch.enter(name);
    await this.#perform(handler, attempts, leaveSlot);
    this.#watch.leave(name);
    return true;
  }

  /**
   * Returns the rows of the run's set; null if the run must wait. Rows that were not loaded before the run had a slot
   * are measured first, so that a set that is too large is not loaded, and the start is recorded before the load,
   * because the load may kill the process.
   */
  async #load({ lease, members, isLarge }: QueuedRun, { backoff }: FunctionHandler) {
    const { database, maxSetBytes } = this.#options;
    if (members !== null) return members;
    if (lease.attempt > backoff.attempts) return []; // given up before anything is loaded
    if (!isLarge && (await isLargeSet(database, lease, maxSetBytes))) return null;
    if (!(await this.#starts.add(lease))) throw new LeaseLost('the lease of this run was lost');
    return loadSet(database, this.partOf, lease, maxSetBytes);
  }

  /** Performs the attempts with one call of the handler. */
  #perform(
    handler: FunctionHandler,
    attempts: readonly Attempt[],
    leaveSlot: () => void,
  ): Promise<void> {
    return within(attempts[0]!.span, async () => {
      const call = this.#callOf(handler, attempts, leaveSlot);
      try {
        const { name } = handler.definition;
        const events = await callHandler(call, (ms) => this.#watch.called(name, ms));
        failpoint('before-done');
        await this.#commit(call, events);
      } catch (error) {
        if (attempts.length === 1) await this.#fail(call, error);
        else await this.#divide(call, error);
      }
    });
  }

  #callOf(
    handler: FunctionHandler,
    attempts: readonly Attempt[],
    leaveSlot: () => void,
  ): HandlerCall {
    const { name } = handler.definition;
    const [{ lease }] = attempts as readonly [Attempt];
    const about =
      attempts.length === 1
        ? { key: lease.key, runId: runIdOf(name, lease) }
        : { sets: attempts.length };
    const log = withFields(this.#options.log, { function: name, ...about });
    const tx = new HandlerTx(this.#options.database);
    const abort = abortOf(attempts);
    return { attempts, handler, abort, leaveSlot, log, tx, watchedTx: new WatchedTx(tx) };
  }

  /** Commits the handler's writes, its events and the marker that the runs are done, together. */
  async #commit(call: HandlerCall, events: readonly OutboxEvent[][]): Promise<void> {
    const held = await this.#committer.commit(call, events);
    for (const [i, attempt] of call.attempts.entries()) {
      const isHeld = held[i]!;
      if (isHeld instanceof Error) {
        await this.#fail({ ...call, attempts: [attempt] }, isHeld);
      } else if (isHeld) {
        this.#faults.forget(attempt.lease);
        this.#end(call, attempt, { outcome: 'done', events: events[i]!.length, errorType: null });
      } else {
        const { key } = attempt.lease;
        call.log.warn({ key }, TAKEN_OVER);
        this.#end(call, attempt, FENCED);
      }
    }
  }

  /**
   * Continues after a call for several attempts failed: with its halves, down to the set that is the cause. None
   * of these attempts has ended by that. If the call timed out, its runs are released, each to run alone in whatever
   * process has a slot: halves would wait for one timeout after the other.
   */
  async #divide(call: HandlerCall, error: unknown): Promise<void> {
    const { attempts, handler, leaveSlot, abort, log } = call;
    await call.tx.abandon();
    if (attempts.some((each) => each.abort.signal.reason instanceof ShutDown)) {
      return this.#release(call);
    }
    const fault = isInterrupted(abort.signal) ? null : call.watchedTx.fault;
    if (fault !== null) {
      const waits = attempts.map(({ lease }) => this.#faults.waitAfter(lease, fault));
      if (!waits.includes(null)) return this.#release(call, { waitMs: waits[0]!, fault });
    }
    const fields = { sets: attempts.length, error: redactedErrorText(error) };
    if (error instanceof TimedOut) {
      log.warn(fields, 'a call for several sets took too long; each of them will run alone');
      return this.#release(call, { isAlone: true });
    }
    const held = attempts.filter(({ abort: { signal } }) => !signal.aborted);
    for (const attempt of attempts) {
      if (attempt.abort.signal.aborted) this.#end(call, attempt, FENCED);
    }
    if (held.length === 0) return;
    if (held.length < attempts.length) return this.#perform(handler, held, leaveSlot);
    log.warn(fields, 'a call for several sets failed; trying each half of them');
    const half = held.length >> 1;
    await this.#perform(handler, held.slice(0, half), () => {});
    await this.#perform(handler, held.slice(half), leaveSlot);
  }

  /** Releases the runs, which are due again after `waitMs`; no attempt is counted. */
  async #release(
    call: HandlerCall,
    { waitMs = 0, isAlone = false, fault = null }: Release = {},
  ): Promise<void> {
    const { attempts, log } = call;
    const leases = attempts.map(({ lease }) => lease);
    const release = () => this.#options.runs.release(leases, waitMs, isAlone);
    if (fault !== null) {
      const fields = { attempt: leases[0]!.attempt, waitMs, error: redactedErrorText(fault) };
      log.warn(fields, 'the database failed this attempt, which does not count');
    }
    // At shutdown, runs that can't be released are when the lease of this process ends.
    if (fault === null && !isAlone) await release().catch(() => {});
    else await untilAnswered(release, log);
    for (const attempt of attempts) this.#end(call, attempt, RELEASED);
  }

  /** Ends a call for one attempt that failed: records the failure in the database. */
  async #fail(call: HandlerCall, error: unknown): Promise<void> {
    const { attempts, log, tx } = call;
    const [attempt] = attempts as readonly [Attempt];
    const failure = this.#classify(call, error);
    await tx.abandon();
    switch (failure.outcome) {
      case 'fenced':
        return this.#end(call, attempt, FENCED);
      case 'released':
        return this.#release(call);
      case 'fault':
        return this.#release(call, failure);
      case 'failed':
      case 'again': {
        const { outcome, waitMs } = failure;
        const { lease, trace } = attempt;
        const what = { error: redactedErrorText(error), at: framesOf(error) };
        log.warn(
          { attempt: lease.attempt, waitMs, ...what },
          outcome === 'failed' ? 'the run failed permanently' : 'the attempt failed',
        );
        const fail = () => this.#options.runs.fail(lease, describeError(error), waitMs, trace);
        await untilAnswered(fail, log);
        return this.#end(call, attempt, { outcome, events: 0, errorType: errorTypeOf(error) });
      }
    }
  }

  #classify({ attempts, handler, abort, watchedTx }: HandlerCall, error: unknown): AttemptFailure {
    const [{ lease }] = attempts as readonly [Attempt];
    if (error instanceof LeaseLost) return { outcome: 'fenced' };
    if (error instanceof ShutDown) return { outcome: 'released' };
    // a fault of an interrupted attempt's connection is ignored
    const fault = isInterrupted(abort.signal) ? null : watchedTx.fault;
    const freeMs = fault === null ? null : this.#faults.waitAfter(lease, fault);
    if (freeMs !== null) return { outcome: 'fault', fault, waitMs: freeMs };
    this.#faults.forget(lease);
    const waitMs = isFinal(error) ? null : waitAfter(lease.attempt, handler.backoff);
    return { outcome: waitMs === null ? 'failed' : 'again', waitMs };
  }

  #end({ handler }: Pick<HandlerCall, 'handler'>, attempt: Attempt, result: AttemptResult): void {
    const { span, startedAt } = attempt;
    span?.setAttributes({ 'muster.outcome': result.outcome, 'muster.events': result.events });
    if (result.errorType === null) span?.end();
    else endFailed(span, result.errorType);
    const seconds = (performance.now() - startedAt) / 1000;
    this.#options.onResult(handler.definition.name, result, seconds);
  }
}
