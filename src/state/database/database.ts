import pg from 'pg';
import { errorText } from '../../lib/error-text.ts';
import type { RetrySchedule } from '../../lib/retry.ts';
import { Unavailable } from '../outcome.ts';
import {
  OWN_PATH,
  prepareSession,
  SESSION,
  timeout,
  type Settings,
  UnfitSession,
} from './session.ts';

/**
 * Plans are part of the design: left alone, the planner takes hash joins and sequential scans as
 * soon as its statistics lag behind a growing table, at 2 to 24 times the cost. A generic plan,
 * because a custom one costs more to make than the statement takes.
 */
const PLANS: Settings = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_bitmapscan: 'off',
  jit: 'off',
  plan_cache_mode: 'force_generic_plan',
};

/** Connections of a process for claims, done-marks, leases, timers and the outbox. */
export const CONTROL_CONNECTIONS = 5;

/** For a connection of a handler, which may also wait until another has given its own back. */
const HANDLER_CONNECT_MS = 30_000;

/** Between the statements of a chunk there is nothing but computing. */
const CHUNK_IDLE_MS = 10_000;

export interface DatabaseOptions {
  readonly url: string;
  /** Connections that file batches; two are the knee, more only split batches. */
  readonly writers: number;
  /** Connections for transactions of handlers. */
  readonly handlers: number;
  /** Connections for chunks of projections and for settling them; 1 unless given. */
  readonly chunks?: number;
  /** A transaction of a handler, or a query in it, may take so long: more than any handler is allowed to. */
  readonly handlerIdleMs: number;
  /** A statement may take so long before the server ends it. */
  readonly statementTimeoutMs: number;
  readonly onIdleError: (error: Error) => void;
}

/** The pools of one process, each for one kind of work, so that none waits behind another kind. */
export interface Database {
  readonly writers: pg.Pool;
  /** Claims, done-marks, leases, deadlines, outbox; and what people ask. */
  readonly control: pg.Pool;
  readonly handlers: pg.Pool;
  /** Chunks and settling of projections. */
  readonly chunks: pg.Pool;
  /** Also a second time. */
  close(): Promise<void>;
}

export function openDatabase(options: DatabaseOptions): Database {
  const pool = (
    name: string,
    max: number,
    queryMs: number,
    settings: Settings,
    more: pg.PoolConfig = {},
  ) => {
    const config: pg.PoolConfig = {
      connectionString: options.url,
      application_name: `muster ${name}`,
      max,
      // The server's own time-outs come first; these catch a server that is gone without a word.
      connectionTimeoutMillis: 5_000,
      query_timeout: queryMs,
      keepAlive: true,
      ...more,
    };
    const onConnect = (client: pg.ClientBase) =>
      prepareSession(client, config, { ...SESSION, ...settings });
    // pg waits for the promise, though its types do not say so
    const made = new pg.Pool({ ...config, onConnect });
    made.on('error', options.onIdleError);
    // The pool listens to idle clients only. One that is lost while a handler holds it would end the
    // process; whoever holds it learns of it by the next query.
    made.on('connect', (client) => client.on('error', () => {}));
    return made;
  };
  const { statementTimeoutMs, handlerIdleMs } = options;
  const queryMs = statementTimeoutMs + 5_000;
  const own: Settings = {
    ...OWN_PATH,
    ...PLANS,
    TimeZone: 'UTC',
    statement_timeout: timeout(statementTimeoutMs),
    idle_in_transaction_session_timeout: timeout(statementTimeoutMs),
  };
  const pools = {
    writers: pool('writer', options.writers, queryMs, own),
    control: pool('control', CONTROL_CONNECTIONS, queryMs, own),
    handlers: pool(
      'handler',
      options.handlers,
      handlerIdleMs,
      {
        // a query of a handler that was abandoned ends soon after its connection is closed
        client_connection_check_interval: '5s',
        statement_timeout: timeout(handlerIdleMs),
        idle_in_transaction_session_timeout: timeout(handlerIdleMs),
      },
      // Handlers that end together on a busy machine connect together; each is bounded by its own time-out.
      { pipeline: true, connectionTimeoutMillis: HANDLER_CONNECT_MS },
    ),
    // A process that is frozen in the middle of a chunk must not hold the partition's position for long.
    chunks: pool(
      'chunk',
      options.chunks ?? 1,
      queryMs,
      {
        statement_timeout: timeout(statementTimeoutMs),
        idle_in_transaction_session_timeout: timeout(CHUNK_IDLE_MS),
      },
      { pipeline: true },
    ),
  };
  let closing: Promise<unknown> | undefined;
  return {
    ...pools,
    async close() {
      await (closing ??= Promise.all(Object.values(pools).map((each) => each.end())));
    },
  };
}

/** SQLSTATE of an error from Postgres; null for anything else (connection refused, cut, timed out). */
export function sqlState(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}

/**
 * Does the error say that these values can never be stored? Classes 21 (cardinality), 22 (data), 23
 * (constraint) and 54 (a limit, such as an index entry too long). Everything else may pass, even
 * permission and syntax errors: somebody mends them, and no event is lost meanwhile.
 */
export function isBadValue(error: unknown): boolean {
  return /^(21|22|23|54)/.test(sqlState(error) ?? '');
}

/**
 * Is the server away, busy or read-only (no connection, no address for its name, shutting down, starting
 * up, too many clients, a standby that is about to be promoted), and not refusing us for good?
 */
export function mayPass(error: unknown): boolean {
  if (misconfigured(error) !== null) return false;
  const state = sqlState(error);
  if (state !== null) return /^(08|25006|53|57)/.test(state);
  return (
    error instanceof Error &&
    /ECONN|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|terminated|timeout|not queryable/.test(
      `${error}${(error as { code?: string }).code}`,
    )
  );
}

/** Did a statement take longer than it may? The server ended it, or nobody waits for its answer any more. */
export function isTimeout(error: unknown): boolean {
  return (
    sqlState(error) === '57014' ||
    (error instanceof Error && error.message === 'Query read timeout')
  );
}

/** Does the server only read: a standby, or a primary that was told to? */
export function isReadOnly(error: unknown): boolean {
  return sqlState(error) === '25006';
}

/**
 * What to change in DATABASE_URL, where the server or a pooler answers and refuses the connection; null
 * for other errors. A pooler gives most of its refusals the code of a protocol violation.
 */
export function misconfigured(error: unknown): string | null {
  if (error instanceof UnfitSession) return error.message;
  const state = sqlState(error);
  const message = errorText(error);
  const isRefused =
    /^(28000|28P01|3D000)$/.test(state ?? '') ||
    (state === '08P01' &&
      /startup parameter|no such (database|user)|does not exist|auth\w* failed/i.test(message));
  if (!isRefused) return null;
  const says = `the state database says: ${message} (SQLSTATE ${state})`;
  return message.includes('startup parameter')
    ? `${says}: a pooler is between; take the parameter out of DATABASE_URL, or name the server itself`
    : says;
}

/** May the login not do yet what a process needs? `muster migrate` grants that. */
export function isUngranted(error: unknown): boolean {
  return sqlState(error) === '42501';
}

/** Does the database lack what this release's schema has (a schema, table, column or function)? */
export function isUnmigrated(error: unknown): boolean {
  return /^(3F000|42P01|42703|42883)$/.test(sqlState(error) ?? '');
}

/** Lost to a neighbour (deadlock, serialization): the same statement, sent again, works. */
export function isLostRace(error: unknown): boolean {
  const state = sqlState(error);
  return state === '40P01' || state === '40001';
}

/** Repeats a statement that lost a race at once; sorted locks make even one lost race rare. */
export const LOST_RACE: RetrySchedule = {
  attempts: 5,
  firstMs: 0,
  maxMs: 0,
  isRetryable: isLostRace,
};

/** The error as one that says "try again". */
export function unavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  const state = sqlState(error);
  const message = state === null ? errorText(error) : `${errorText(error)} (SQLSTATE ${state})`;
  return new Unavailable('database', message, { cause: error });
}

/** Runs `work` in a transaction; any error rolls it back, or drops the connection where that fails too. */
export async function transaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await commit(client);
    return result;
  } catch (error) {
    await client.query('rollback').catch((cause: Error) => {
      broken = cause;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}

/** Throws where the server rolls back instead, as it does after an error that was caught on the way. */
export async function commit(client: pg.ClientBase): Promise<void> {
  const { command } = await client.query('commit');
  if (command !== 'COMMIT') {
    throw new Error('nothing was committed: a statement failed, and its error was not passed on');
  }
}
