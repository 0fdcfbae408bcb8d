import { setTimeout as sleep } from 'node:timers/promises';
import { failpoint } from '../failpoint.ts';
import { type FunctionDefinition, type Log, TerminalError } from '../function.ts';
import { isBadValue, type Database } from '../state/database.ts';
import { HandlerTx } from '../state/handler-tx.ts';
import type { Served } from '../state/member.ts';
import type { OutboxEvent, Runs, StoredMember } from '../state/runs.ts';
import type { Lease } from '../state/store.ts';
import { attempt, runIdOf } from './attempt.ts';
import type { Completer } from './completer.ts';
import { waitAfter, type Backoff } from './retry.ts';

/** Another pod may hold the run by now: stop, nothing of it will be committed. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** The process was told to stop: the run goes back, without an attempt counted. */
export class ShutDown extends Error {
  override readonly name = 'ShutDown';
}

/** What became of an attempt. */
export type Verdict = 'done' | 'failed' | 'again' | 'released' | 'fenced';

export interface Ended {
  readonly verdict: Verdict;
  /** Events put into the outbox. */
  readonly events: number;
}

/** A function with what its runs need to know. */
export interface Handling {
  readonly definition: FunctionDefinition;
  readonly served: Served;
  readonly backoff: Backoff;
  /** Milliseconds an attempt may take. */
  readonly limitMs: number;
}

export interface ExecuteOptions extends Handling {
  readonly database: Database;
  readonly runs: Runs;
  readonly completer: Completer;
  readonly lease: Lease;
  readonly members: readonly StoredMember[];
  /** Aborts with {@link LeaseLost} or {@link ShutDown}. */
  readonly abort: AbortController;
  readonly log: Log;
}

/** Runs the handler of one leased run, and commits what became of it. Never rejects. */
export async function execute(options: ExecuteOptions): Promise<Ended> {
  const { definition, lease, backoff, abort } = options;
  const log = withFields(options.log, {
    function: definition.name,
    key: lease.key,
    runId: runIdOf(definition.name, lease),
  });
  const tx = new HandlerTx(options.database);
  try {
    abort.signal.throwIfAborted();
    if (lease.attempt > backoff.attempts) {
      throw new TerminalError(
        `given up after ${backoff.attempts} attempts that ended with their process`,
      );
    }
    const events = await attempt({ ...options, tx, timeoutMs: options.limitMs, log });
    failpoint('before-done');
    if (await conclude(options, events, tx, log)) return { verdict: 'done', events: events.length };
    log.warn({}, 'another pod took this run over; nothing of this attempt was committed');
    return { verdict: 'fenced', events: 0 };
  } catch (error) {
    await tx.abandon();
    return { verdict: await giveUp(options, error, log), events: 0 };
  }
}

async function giveUp(
  { runs, lease, backoff }: ExecuteOptions,
  error: unknown,
  log: Log,
): Promise<Verdict> {
  if (error instanceof LeaseLost) return 'fenced';
  if (error instanceof ShutDown) {
    await runs.release([lease]).catch(() => {}); // else freed when this pod's lease ends
    return 'released';
  }
  const waitMs = error instanceof TerminalError ? null : waitAfter(lease.attempt, backoff);
  const fields = { attempt: lease.attempt, waitMs, error: describe(error) };
  log.warn(fields, waitMs === null ? 'run failed for good' : 'attempt failed');
  await insist(() => runs.fail(lease, fields.error, waitMs), log);
  return waitMs === null ? 'failed' : 'again';
}

/** Commits the handler's writes, events and the done-mark together; false if the run is no longer held. */
async function conclude(
  { runs, completer, lease }: ExecuteOptions,
  events: readonly OutboxEvent[],
  tx: HandlerTx,
  log: Log,
): Promise<boolean> {
  const finished = { lease, events };
  if (tx.isOpen) {
    try {
      return await tx.commit((client) => runs.finishIn(client, finished));
    } catch (error) {
      // The answer to COMMIT may be what was lost.
      if (await insist(() => runs.isDone(lease), log)) return true;
      throw error;
    }
  }
  await tx.abandon(); // what the handler left running may not begin it now
  let doubtful = false;
  return insist(async () => {
    try {
      if (await completer.finish(finished)) return true;
      return doubtful && (await runs.isDone(lease));
    } catch (error) {
      doubtful = true;
      throw error;
    }
  }, log);
}

/** Tries until the database answers: the run stays leased meanwhile, as long as this process lives. */
export async function insist<T>(work: () => Promise<T>, log: Log): Promise<T> {
  for (let wait = 100; ; wait = Math.min(wait * 2, 2_000)) {
    try {
      return await work();
    } catch (error) {
      if (isBadValue(error)) throw error;
      log.warn({ error: describe(error) }, 'the database does not answer; trying again');
      await sleep(wait);
    }
  }
}

/** What a handler threw, in words: it may be anything, also what has no words. */
function describe(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  } catch {
    return `the handler threw ${typeof error} that can't be written as text`;
  }
}

function withFields(log: Log, fields: object): Log {
  return {
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
