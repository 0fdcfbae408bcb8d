/** Types that both kinds of functions use. */

/** A length of time as a number and a unit: `'15 minutes'`, `'1 hour'`, `'500 milliseconds'`. */
export type Duration =
  `${number} ${'millisecond' | 'second' | 'minute' | 'hour' | 'day'}${'' | 's'}`;

/**
 * A transaction on the state database. Its writes commit atomically with the marker that the run is done.
 * `query` sends one statement at a time; a statement that would end the transaction is refused. A failed
 * statement rejects and, as in PostgreSQL, fails the transaction.
 */
export interface Tx {
  query<R extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ rows: R[]; rowCount: number | null }>;
}

/** Logger of a run: `log.info({ order }, 'shipped')`. Each line carries the function, the key and the run id. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** Thrown when no retry can help: the run fails at once, or the record of a projection is parked. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';

  /** Compares names, because a function bundled by itself throws an instance of its own copy of this class. */
  static override [Symbol.hasInstance](error: unknown): boolean {
    return error instanceof Error && error.name === 'TerminalError';
  }
}
