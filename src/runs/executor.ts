import type { FunctionDefinition, Log } from '../function.ts';
import { contextOf, endFailed, runSpan, within } from '../telemetry/spans.ts';
import type { Database } from '../state/database/database.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { FinishedRun, Runs } from '../state/runs/runs.ts';
import type { Lease } from '../state/lease.ts';
import { timeoutMs } from './attempt.ts';
import { Coalescer } from './coalescer.ts';
import { execute, type Handling, type Verdict } from './execute.ts';
import { Faults } from './faults.ts';
import type { Waiting } from './run-queue.ts';
import { LoopWatch } from './loop-watch.ts';
import { LARGE, prepare } from './prepare.ts';
import { toBackoff } from './backoff.ts';

export interface ExecutorOptions {
  readonly database: Database;
  readonly runs: Runs;
  readonly functions: readonly {
    readonly definition: FunctionDefinition;
    readonly served: RegisteredFunction;
  }[];
  /** Bytes of rows that a handler is given at most. */
  readonly maxSetBytes: number;
  readonly log: Log;
  readonly onVerdict: (fn: string, verdict: Verdict, seconds: number, events: number) => void;
  /** Handlers of these functions blocked the event loop for so many seconds. */
  readonly onBlocked: (functions: readonly string[], seconds: number) => void;
}

/** A leased run of this process. */
export interface Running {
  readonly lease: Lease;
  readonly abort: AbortController;
  /** Its handler has been called, and the database has no record of that. */
  unrecorded: boolean;
}

/** Executes runs that have a slot: their rows, their handler, and what is committed of it. */
export class Executor {
  readonly handlings: ReadonlyMap<number, Handling>;
  readonly #options: ExecutorOptions;
  readonly #completer: Coalescer<FinishedRun>;
  readonly #starts: Coalescer<Lease>;
  readonly #faults = new Faults();
  readonly #watch: LoopWatch;

  /**
   * `onBeat` is called while handlers are at work, whenever the event loop comes round, with the longest
   * that one of them may take.
   */
  constructor(options: ExecutorOptions, onBeat: (longestMs: number) => void) {
    const { runs, functions, onBlocked } = options;
    this.#options = options;
    this.handlings = new Map(functions.map((each) => [each.served.id, handlingOf(each)]));
    const limits = new Map(
      [...this.handlings.values()].map((each) => [each.definition.name, each.limitMs]),
    );
    this.#completer = new Coalescer((finished) => runs.finish(finished));
    this.#starts = new Coalescer((leases) => runs.recordStarts(leases));
    this.#watch = new LoopWatch({
      onBeat: (names) => onBeat(Math.max(0, ...names.map((name) => limits.get(name)!))),
      onBlocked: (ms, names) => onBlocked(names, ms / 1000),
    });
  }

  /** False: nothing has been done, because the run has to wait for others with as many rows. Never rejects. */
  async execute(run: Waiting, running: Running, leaveSlot: () => void): Promise<boolean> {
    const { lease } = run;
    const handling = this.handlings.get(lease.function)!;
    const { name } = handling.definition;
    const startedAt = performance.now();
    const members = await this.#membersOf(run, handling);
    if (members === LARGE) return false;
    running.unrecorded = run.members !== null;
    this.#watch.enter(name);
    const span = runSpan(name, lease, members instanceof Error ? [] : members);
    const { verdict, events, failure } = await within(span, () =>
      execute({
        ...this.#options,
        ...handling,
        completer: this.#completer,
        faults: this.#faults,
        lease,
        members,
        abort: running.abort,
        onCalled: (ms) => this.#watch.called(name, ms),
        leaveSlot,
        trace: contextOf(span),
      }),
    );
    this.#watch.leave(name);
    span?.setAttributes({ 'muster.verdict': verdict, 'muster.events': events });
    if (failure === null) span?.end();
    else endFailed(span, failure);
    const seconds = (performance.now() - startedAt) / 1000;
    this.#options.onVerdict(name, verdict, seconds, events);
    return true;
  }

  /** The rows of the run's set; an error that ends the attempt where they can't be loaded. */
  async #membersOf(run: Waiting, { backoff }: Handling) {
    if (run.members !== null) return run.members;
    if (run.lease.attempt > backoff.attempts) return []; // given up before anything is loaded
    const { database, maxSetBytes: maxBytes } = this.#options;
    try {
      return await prepare(run, { database, starts: this.#starts, maxBytes });
    } catch (error) {
      return error as Error;
    }
  }
}

function handlingOf({ definition, served }: ExecutorOptions['functions'][number]): Handling {
  const backoff = toBackoff(definition.retry);
  return { definition, served, backoff, limitMs: timeoutMs(definition) };
}
