import { AsyncLocalStorage } from 'node:async_hooks';
import type { Log } from '../function.ts';

/** The attempt that an unhandled error is attributed to. */
export interface Owner {
  readonly function: string;
  readonly runId: string;
  /** Ends the attempt with this error; false if it has ended already. */
  readonly fail: (error: unknown) => boolean;
}

export interface StrayErrorOptions {
  readonly log: Log;
  /** `owner` is the name of the function; null if no handler caused the error. */
  readonly count: (kind: 'rejection' | 'exception', owner: string | null) => void;
  /** Called for an exception that no attempt owns, which leaves the process in an unknown state. */
  readonly onFatal: (error: unknown) => void;
}

const owners = new AsyncLocalStorage<Owner>();

/** Calls `work`; unhandled errors that it causes, now or later, are attributed to the owner. */
export function ownedBy<T>(owner: Owner, work: () => T): T {
  return owners.run(owner, work);
}

/**
 * Catches unhandled errors of the process: one that a handler caused ends its attempt, but not the process with
 * all other attempts. A rejection that no handler caused is reported, and the process continues; such an
 * exception is fatal. Returns a function that restores Node's default behaviour.
 */
export function catchStrayErrors({ log, count, onFatal }: StrayErrorOptions): () => void {
  const report = (kind: 'rejection' | 'exception', error: unknown): boolean => {
    const owner = owners.getStore() ?? null;
    count(kind, owner?.function ?? null);
    if (owner === null) {
      log.error({ err: error }, `unhandled ${kind} that no handler caused`);
      return false;
    }
    const fields = { function: owner.function, runId: owner.runId, err: error };
    const ended = owner.fail(error);
    log.error(
      fields,
      ended
        ? `the handler left a ${kind} unhandled, which ends its attempt`
        : `the handler left a ${kind} unhandled after its attempt had ended`,
    );
    return true;
  };
  const onRejection = (error: unknown) => void report('rejection', error);
  const onException = (error: unknown) => {
    if (!report('exception', error)) onFatal(error);
  };
  process.on('unhandledRejection', onRejection);
  process.on('uncaughtException', onException);
  return () => {
    process.off('unhandledRejection', onRejection);
    process.off('uncaughtException', onException);
  };
}
