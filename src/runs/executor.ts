import type { SpanContext } from '@opentelemetry/api';
import {
  type FunctionDefinition,
  type HandlerContext,
  type Log,
  TerminalError,
} from '../function.ts';
import {
  partsOf,
  type PartOf,
  type RegisteredFunction,
} from '../definitions/registered-function.ts';
import { redactedErrorText } from '../lib/error-text.ts';
import { failpoint } from '../lib/failpoint.ts';
import { waitAfter } from '../lib/retry.ts';
import { isBadValue, type Database } from '../state/database/database.ts';
import { HandlerTx } from '../state/database/handler-tx.ts';
import type { Lease } from '../state/lease.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import { finishing, type FinishedRun, type OutboxEvent, type Runs } from '../state/runs/runs.ts';
import { contextOf, endFailed, runSpan, within } from '../telemetry/spans.ts';
import { toTraceparent } from '../telemetry/trace.ts';
import {
  describeError,
  errorTypeOf,
  isFinal,
  isInterrupted,
  LeaseLost,
  SetTooLarge,
  ShutDown,
} from './attempt-errors.ts';
import type { AttemptFailure, AttemptResult } from './attempt-result.ts';
import { callHandler } from './call-handler.ts';
import { Coalescer } from './coalescer.ts';
import { Faults, WatchedTx } from './faults.ts';
import { type FunctionHandler, toFunctionHandler } from './function-handler.ts';
import { handlerLog, withFields } from './handler-log.ts';
import { isLargeSet, loadSet } from './load-set.ts';
import { LoopWatch } from './loop-watch.ts';
import { toOutboxEvents } from './outbox-events.ts';
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

/** One attempt of a run. */
interface Attempt extends Pick<LeasedRun, 'lease' | 'abort'> {
  readonly handler: FunctionHandler;
  /** The transaction that the handler writes in. */
  readonly tx: HandlerTx;
  readonly watchedTx: WatchedTx;
  readonly log: Log;
  /** Trace context of the attempt; null if the trace is not sampled. */
  readonly trace: SpanContext | null;
  /** Frees the slot once the handler has ended and holds no connection. */
  readonly leaveSlot: () => void;
}

/** Executor executes leased runs that have a slot. */
export class Executor {
  /** By the id of the function. */
  readonly handlers: ReadonlyMap<number, FunctionHandler>;
  readonly partOf: PartOf;
  readonly #options: ExecutorOptions;
  readonly #completer: Coalescer<FinishedRun>;
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
    this.#completer = new Coalescer((finished) => runs.finish(finished));
    this.#starts = new Coalescer((leases) => runs.recordStarts(leases));
    this.#watch = new LoopWatch({
      onBeat: (names) => onBeat(Math.max(0, ...names.map((name) => timeouts.get(name)!))),
      onBlocked: (ms, names) => onBlocked(names, ms / 1000),
    });
  }

  /**
   * Executes one attempt of a run: records the start, loads the rows, calls the handler, commits, classifies a
   * failure and records it. Resolves with false, without having done anything, if the run must wait for another
   * large one. Never rejects.
   */
  async execute(run: QueuedRun, leased: LeasedRun, leaveSlot: () => void): Promise<boolean> {
    const startedAt = performance.now();
    const { lease } = run;
    const handler = this.handlers.get(lease.function)!;
    const { name } = handler.definition;
    const members = await this.#load(run, handler).catch((error: Error) => error);
    if (members === null) return false;
    leased.isUnrecorded = run.members !== null;
    this.#watch.enter(name);
    const span = runSpan(name, lease, members instanceof Error ? [] : members);
    const attempt = this.#attemptOf(leased, handler, leaveSlot, contextOf(span));
    const result = await within(span, () => this.#perform(attempt, members));
    this.#watch.leave(name);
    span?.setAttributes({ 'muster.outcome': result.outcome, 'muster.events': result.events });
    if (result.errorType === null) span?.end();
    else endFailed(span, result.errorType);
    this.#options.onResult(name, result, (performance.now() - startedAt) / 1000);
    return true;
  }

  /**
   * Returns the rows of the run's set; null if the run must wait. A run whose rows were not loaded before it had
   * a slot is measured first, so that a set that is too large is not loaded, and its start is recorded before the
   * load, because the load may kill the process.
   */
  async #load(run: QueuedRun, { backoff }: FunctionHandler) {
    const { lease } = run;
    const { database, maxSetBytes } = this.#options;
    if (run.members !== null) return run.members;
    if (lease.attempt > backoff.attempts) return []; // given up before anything is loaded
    if (!run.isLarge && (await isLargeSet(database, lease, maxSetBytes))) return null;
    if (!(await this.#starts.add(lease))) throw new LeaseLost('the lease of this run was lost');
    return loadSet(database, this.partOf, lease, maxSetBytes);
  }

  #attemptOf(
    { lease, abort }: LeasedRun,
    handler: FunctionHandler,
    leaveSlot: () => void,
    trace: SpanContext | null,
  ): Attempt {
    const { name } = handler.definition;
    const runId = runIdOf(name, lease);
    const log = withFields(this.#options.log, { function: name, key: lease.key, runId });
    const tx = new HandlerTx(this.#options.database);
    return { lease, abort, handler, leaveSlot, trace, log, tx, watchedTx: new WatchedTx(tx) };
  }

  async #perform(
    attempt: Attempt,
    members: readonly StoredMember[] | Error,
  ): Promise<AttemptResult> {
    try {
      requireStartable(attempt);
      const events = await this.#call(attempt, requireLoaded(attempt, members));
      failpoint('before-done');
      return await this.#commit(attempt, events);
    } catch (error) {
      const failure = this.#classify(attempt, error);
      await attempt.tx.abandon();
      return this.#record(attempt, failure);
    }
  }

  /** Calls the handler with its timeout; resolves with the events that it returned. */
  async #call(attempt: Attempt, members: readonly StoredMember[]): Promise<OutboxEvent[]> {
    const { handler, lease, abort, trace } = attempt;
    const { name } = handler.definition;
    const context: HandlerContext = {
      tx: attempt.watchedTx,
      runId: runIdOf(name, lease),
      attempt: lease.attempt,
      signal: abort.signal,
      log: handlerLog(attempt.log),
      traceparent: trace === null ? null : toTraceparent(trace),
    };
    const onReturn = (ms: number) => this.#watch.called(name, ms);
    const returned = await callHandler(handler, lease, members, context, abort, onReturn);
    return toOutboxEvents(name, lease, returned);
  }

  /** Commits the handler's writes, its events and the marker that the run is done, together. */
  async #commit(attempt: Attempt, events: readonly OutboxEvent[]): Promise<AttemptResult> {
    const { lease, log, tx, trace } = attempt;
    const finished = { lease, events, trace };
    const isHeld = tx.isOpen
      ? await this.#commitTx(attempt, finished)
      : await this.#commitWithoutTx(attempt, finished);
    if (!isHeld) {
      log.warn({}, 'another worker took this run over; nothing of this attempt was committed');
      return { outcome: 'fenced', events: 0, errorType: null };
    }
    this.#faults.forget(lease);
    return { outcome: 'done', events: events.length, errorType: null };
  }

  /** Commits the handler's transaction, in which the run is marked done; false if the lease was lost. */
  async #commitTx({ lease, log, tx, watchedTx }: Attempt, finished: FinishedRun): Promise<boolean> {
    const { runs } = this.#options;
    try {
      return await tx.commit(finishing(finished));
    } catch (error) {
      // only the answer to COMMIT may have been lost
      if (await untilAnswered(() => runs.isDone(lease), log)) return true;
      watchedTx.note(error);
      throw error;
    }
  }

  /** Marks a run done whose handler wrote nothing; false if the lease was lost. */
  async #commitWithoutTx(attempt: Attempt, finished: FinishedRun): Promise<boolean> {
    const { lease, log, tx, leaveSlot } = attempt;
    await tx.abandon(); // a query that the handler did not await must not begin the transaction now
    leaveSlot();
    let isInDoubt = false;
    return untilAnswered(async () => {
      try {
        if (await this.#completer.add(finished)) return true;
        return isInDoubt && (await this.#options.runs.isDone(lease));
      } catch (error) {
        isInDoubt = true;
        throw error;
      }
    }, log);
  }

  #classify({ lease, handler, abort, watchedTx }: Attempt, error: unknown): AttemptFailure {
    if (error instanceof LeaseLost) return { outcome: 'fenced' };
    if (error instanceof ShutDown) return { outcome: 'released' };
    // a fault of an interrupted attempt's connection is ignored
    const fault = isInterrupted(abort.signal) ? null : watchedTx.fault;
    const freeMs = fault === null ? null : this.#faults.waitAfter(lease, fault);
    if (freeMs !== null) return { outcome: 'fault', fault, waitMs: freeMs };
    this.#faults.forget(lease);
    const waitMs = isFinal(error) ? null : waitAfter(lease.attempt, handler.backoff);
    return { outcome: waitMs === null ? 'failed' : 'again', error, waitMs };
  }

  /** Records a failure in the database. */
  async #record({ lease, log, trace }: Attempt, failure: AttemptFailure): Promise<AttemptResult> {
    const { runs } = this.#options;
    switch (failure.outcome) {
      case 'fenced':
        return { outcome: 'fenced', events: 0, errorType: null };
      case 'released':
        await runs.release([lease]).catch(() => {}); // otherwise released when the lease of this process ends
        return { outcome: 'released', events: 0, errorType: null };
      case 'fault': {
        const { waitMs, fault } = failure;
        const fields = { attempt: lease.attempt, waitMs, error: redactedErrorText(fault) };
        log.warn(fields, 'the database failed this attempt, which does not count');
        await untilAnswered(() => runs.release([lease], waitMs), log);
        return { outcome: 'released', events: 0, errorType: null };
      }
      case 'failed':
      case 'again': {
        const { outcome, waitMs, error } = failure;
        const fields = { attempt: lease.attempt, waitMs, error: redactedErrorText(error) };
        log.warn(
          fields,
          outcome === 'failed' ? 'the run failed permanently' : 'the attempt failed',
        );
        await untilAnswered(() => runs.fail(lease, describeError(error), waitMs, trace), log);
        return { outcome, events: 0, errorType: errorTypeOf(error) };
      }
    }
  }
}

/** Throws if the lease of the attempt was lost, or if it exceeds the function's maximum number of attempts. */
function requireStartable({ lease, handler: { backoff }, abort }: Attempt): void {
  abort.signal.throwIfAborted();
  if (lease.attempt > backoff.attempts) {
    throw new TerminalError(
      `given up after ${backoff.attempts} attempts that ended with their process`,
    );
  }
}

/**
 * Throws the error of a failed load. It is a fault of the database, which the handler did not cause, unless the
 * rows can never be loaded: then the attempt counts.
 */
function requireLoaded(
  { watchedTx }: Attempt,
  members: readonly StoredMember[] | Error,
): readonly StoredMember[] {
  if (!(members instanceof Error)) return members;
  if (!(members instanceof SetTooLarge || isBadValue(members))) watchedTx.blame(members);
  throw members;
}
