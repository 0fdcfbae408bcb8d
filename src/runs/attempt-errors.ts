/** Errors that end an attempt, other than those thrown by its handler. */
import { TerminalError } from '../function.ts';
import { errorText } from '../lib/error-text.ts';
import { sqlState } from '../state/database/database.ts';

/** The lease was lost: another worker may hold the run, and nothing of this attempt can commit. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

/** The process shuts down: the run is released, and no attempt is counted. */
export class ShutDown extends Error {
  override readonly name = 'ShutDown';
}

/** The attempt exceeded the function's timeout. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut';
}

/** The rows of the set exceed the size limit. */
export class SetTooLarge extends Error {
  override readonly name = 'SetTooLarge';
}

/** Whether the attempt was ended from outside its handler. */
export function isInterrupted({ reason }: AbortSignal): boolean {
  return reason instanceof LeaseLost || reason instanceof ShutDown || reason instanceof TimedOut;
}

/** Whether a further attempt would fail in the same way. */
export function isFinal(error: unknown): boolean {
  return error instanceof TerminalError || error instanceof SetTooLarge;
}

/** Returns the error as it is stored with the run. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return errorText(error);
  try {
    // `pg` gives the errors of the server the name `error`
    const state = error.name === 'error' ? sqlState(error) : null;
    return `${state === null ? error.name : `DatabaseError (SQLSTATE ${state})`}: ${error.message}`;
  } catch {
    return errorText(error);
  }
}

/** Returns the low-cardinality type of an error, for spans. */
export function errorTypeOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
