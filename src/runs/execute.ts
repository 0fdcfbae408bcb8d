import type { SpanContext } from '@opentelemetry/api';
import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../lib/failpoint.ts';
import { type FunctionDefinition, type Log, TerminalError } from '../function.ts';
import { errorText, scalarsOf } from '../telemetry/log.ts';
import { isBadValue, sqlState, type Database } from '../state/database/database.ts';
import { HandlerTx } from '../state/database/handler-tx.ts';
import type { StoredMember } from '../state/runs/load-members.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { finishing, type FinishedRun, type OutboxEvent, type Runs } from '../state/runs/runs.ts';
import type { Lease } from '../state/lease.ts';
import { attempt } from './attempt.ts';
import type { Coalescer } from './coalescer.ts';
import { WatchedTx, type Faults } from './faults.ts';
import { LeaseLost, SetTooLarge, ShutDown, TimedOut } from './reasons.ts';
import { waitAfter, type Backoff } from './backoff.ts';
import { runIdOf } from './run-id.ts';

/** What became of an attempt. */
export type Verdict = 'done' | 'failed' | 'again' | 'released' | 'fenced';

export interface Ended {
  readonly verdict: Verdict;
  /** Events put into the outbox. */
  readonly events: number;
  /** The kind of error that ended the attempt, if one did. */
  readonly failure: string | null;
}

/** A function with what its runs need to know. */
export interface Handling {
  readonly definition: FunctionDefinition;
  readonly served: RegisteredFunction;
  readonly backoff: Backoff;
  /** Milliseconds an attempt may take. */
  readonly limitMs: number;
}

export interface ExecuteOptions extends Handling {
  readonly database: Database;
  readonly runs: Runs;
  readonly completer: Coalescer<FinishedRun>;
  readonly faults: Faults;
  readonly lease: Lease;
  /** The rows of the set, or why they could not be loaded. */
  readonly members: readonly StoredMember[] | Error;
  /** Aborts with {@link LeaseLost} or {@link ShutDown}. */
  readonly abort: AbortController;
  readonly log: Log;
  readonly onCalled: (ms: number) => void;
  /** The handler is through and holds no connection: the next one may begin. */
  readonly leaveSlot: () => void;
  /** Where the attempt stands in a trace; null where that is not sampled. */
  readonly trace: SpanContext | null;
}

/** Runs the handler of one leased run, and commits what became of it. Never rejects. */
export async function execute(options: ExecuteOptions): Promise<Ended> {
  const { definition, lease, members, backoff, abort } = options;
  const log = withFields(options.log, {
    function: definition.name,
    key: lease.key,
    runId: runIdOf(definition.name, lease),
  });
  const tx = new HandlerTx(options.database);
  const watched = new WatchedTx(tx);
  try {
    abort.signal.throwIfAborted();
    if (lease.attempt > backoff.attempts) {
      throw new TerminalError(
        backoff.attempts === 1
          ? 'given up: its only attempt ended with its process'
          : `given up after ${backoff.attempts} attempts that ended with their process`,
      );
    }
    if (members instanceof Error) {
      // the handler had no part in it; what can never be loaded is bounded like a handler's own cuts
      if (!(members instanceof SetTooLarge || isBadValue(members))) watched.blame(members);
      throw members;
    }
    const events = await attempt({
      ...options,
      members,
      tx: watched,
      timeoutMs: options.limitMs,
      log: ofHandler(log),
    });
    failpoint('before-done');
    if (await conclude(options, events, tx, watched, log)) {
      options.faults.forget(lease);
      return { verdict: 'done', events: events.length, failure: null };
    }
    log.warn({}, 'another pod took this run over; nothing of this attempt was committed');
    return { verdict: 'fenced', events: 0, failure: null };
  } catch (error) {
    // an attempt that was cut short has no say in what its connection went through
    const fault = isCutShort(abort.signal) ? null : watched.fault;
    await tx.abandon();
    const verdict = await giveUp(options, error, fault, log);
    const failed = verdict === 'again' || verdict === 'failed';
    return { verdict, events: 0, failure: failed ? kindOf(error) : null };
  }
}

function isCutShort({ reason }: AbortSignal): boolean {
  return reason instanceof LeaseLost || reason instanceof ShutDown || reason instanceof TimedOut;
}

async function giveUp(
  { runs, lease, backoff, faults, trace }: ExecuteOptions,
  error: unknown,
  fault: unknown,
  log: Log,
): Promise<Verdict> {
  if (error instanceof LeaseLost) return 'fenced';
  if (error instanceof ShutDown) {
    await runs.release([lease]).catch(() => {}); // else freed when this pod's lease ends
    return 'released';
  }
  const freeMs = fault === null ? null : faults.waitAfter(lease, fault);
  if (freeMs !== null) {
    const fields = { attempt: lease.attempt, waitMs: freeMs, error: errorText(fault) };
    log.warn(fields, 'the database failed this attempt, which does not count');
    await insist(() => runs.release([lease], freeMs), log);
    return 'released';
  }
  faults.forget(lease);
  const final = error instanceof TerminalError || error instanceof SetTooLarge;
  const waitMs = final ? null : waitAfter(lease.attempt, backoff);
  const fields = { attempt: lease.attempt, waitMs, error: errorText(error) };
  log.warn(fields, waitMs === null ? 'run failed for good' : 'attempt failed');
  await insist(() => runs.fail(lease, describe(error), waitMs, trace), log);
  return waitMs === null ? 'failed' : 'again';
}

/** Commits the handler's writes, events and the done-mark together; false if the run is no longer held. */
async function conclude(
  { runs, completer, lease, trace, leaveSlot }: ExecuteOptions,
  events: readonly OutboxEvent[],
  tx: HandlerTx,
  watched: WatchedTx,
  log: Log,
): Promise<boolean> {
  const finished = { lease, events, trace };
  if (tx.isOpen) {
    try {
      return await tx.commit(finishing(finished));
    } catch (error) {
      // The answer to COMMIT may be what was lost.
      if (await insist(() => runs.isDone(lease), log)) return true;
      watched.note(error);
      throw error;
    }
  }
  await tx.abandon(); // what the handler left running may not begin it now
  leaveSlot();
  let doubtful = false;
  return insist(async () => {
    try {
      if (await completer.add(finished)) return true;
      return doubtful && (await runs.isDone(lease));
    } catch (error) {
      doubtful = true;
      throw error;
    }
  }, log);
}

/** Tries until the database answers: the run stays leased meanwhile, as long as this process lives. */
async function insist<T>(work: () => Promise<T>, log: Log): Promise<T> {
  for (let wait = 100; ; wait = Math.min(wait * 2, 2_000)) {
    try {
      return await work();
    } catch (error) {
      if (isBadValue(error)) throw error;
      log.warn({ error: errorText(error) }, 'the database does not answer; trying again');
      await sleep(wait);
    }
  }
}

/** What a handler threw, in words: it may be anything, also what has no words. */
function describe(error: unknown): string {
  try {
    if (!(error instanceof Error)) return String(error);
    // `pg` names an error of the server just `error`
    const state = error.name === 'error' ? sqlState(error) : null;
    return `${state === null ? error.name : `DatabaseError (SQLSTATE ${state})`}: ${error.message}`;
  } catch {
    return `the handler threw ${typeof error} that can't be written as text`;
  }
}

/** A word of few for what a handler threw. */
function kindOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

/** What a handler logs: fields of its own choice under one name, none of which can hold a row. */
function ofHandler(log: Log): Log {
  return { info: saying(log, 'info'), warn: saying(log, 'warn'), error: saying(log, 'error') };
}

/** A line that can't be written, as with a getter that throws among its fields, is no reason to fail. */
function saying(log: Log, level: keyof Log): Log['info'] {
  return (fields, message) => {
    try {
      if (typeof fields === 'string') log[level]({}, fields);
      else log[level]({ handler: scalarsOf(fields) }, message);
    } catch (error) {
      log.warn({ error: errorText(error) }, "a line of the handler's could not be written");
    }
  };
}

function withFields(log: Log, fields: object): Log {
  return {
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
