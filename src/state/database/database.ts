import pg from 'pg';
import type { Tx } from '../../function.ts';
import { errorText } from '../../lib/error-text.ts';
import type { RetrySchedule } from '../../lib/retry.ts';
import { KeyCollision } from '../key-hash.ts';
import { Unavailable } from '../outcome.ts';
import {
  OWN_PATH,
  prepareSession,
  SESSION,
  timeoutSetting,
  type Settings,
  UnfitSession,
} from './session.ts';

/**
 * Plans are part of the design: by default, the planner chooses hash joins and sequential scans as soon as
 * its statistics lag behind a growing table, which costs 2 to 24 times as much. Plans are generic, because a custom
 * plan takes longer than the statement.
 */
export const PLANS: Settings = {
  enable_seqscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_bitmapscan: 'off',
  jit: 'off',
  plan_cache_mode: 'force_generic_plan',
};

/** Connections of a process for claims, finished runs, leases, deadlines and the outbox. */
export const CONTROL_CONNECTIONS = 5;

/** Timeout of a handler's connection, which may have to wait until another handler releases its own. */
const HANDLER_CONNECT_MS = 30_000;

/** Timeout between the statements of a chunk, where there is only computation. */
const CHUNK_IDLE_MS = 10_000;

export interface DatabaseOptions {
  readonly url: string;
  /** Connections that ingest batches. Two are enough; more only split batches. */
  readonly writers: number;
  /** Connections for handlers' transactions. */
  readonly handlers: number;
  /** Connections for the chunks and the periodic work of projections; 1 unless given. */
  readonly chunks?: number;
  /** Timeout of a handler's transaction, and of a query in it. It exceeds the timeout of every handler. */
  readonly handlerIdleMs: number;
  /** Timeout after which the server cancels a statement. */
  readonly statementTimeoutMs: number;
  readonly onIdleError: (error: Error) => void;
}

/** The connection pools of a process, one per kind of work, so that no kind waits for another. */
export interface Database {
  readonly writers: pg.Pool;
  /** For claims, finished runs, leases, deadlines, the outbox, and commands. */
  readonly control: pg.Pool;
  readonly handlers: pg.Pool;
  /** For chunks and the periodic work of projections. */
  readonly chunks: pg.Pool;
  /** Idempotent. */
  close(): Promise<void>;
}

export function openDatabase(options: DatabaseOptions): Database {
  const { statementTimeoutMs, handlerIdleMs } = options;
  const queryMs = statementTimeoutMs + 5_000;
  const own: Settings = {
    ...OWN_PATH,
    ...PLANS,
    TimeZone: 'UTC',
    statement_timeout: timeoutSetting(statementTimeoutMs),
    idle_in_transaction_session_timeout: timeoutSetting(statementTimeoutMs),
  };
  const pools = {
    writers: openPool(options, 'writer', own, { max: options.writers, query_timeout: queryMs }),
    control: openPool(options, 'control', own, {
      max: CONTROL_CONNECTIONS,
      query_timeout: queryMs,
    }),
    handlers: openPool(
      options,
      'handler',
      {
        // ends the query of an abandoned handler soon after its connection is closed
        client_connection_check_interval: '5s',
        statement_timeout: timeoutSetting(handlerIdleMs),
        idle_in_transaction_session_timeout: timeoutSetting(handlerIdleMs),
      },
      {
        max: options.handlers,
        query_timeout: handlerIdleMs,
        pipeline: true,
        // Handlers that end together on a busy machine connect together; each is bounded by its own timeout.
        connectionTimeoutMillis: HANDLER_CONNECT_MS,
      },
    ),
    // A process that freezes in the middle of a chunk must not lock the partition's position for long.
    chunks: openPool(
      options,
      'chunk',
      {
        statement_timeout: timeoutSetting(statementTimeoutMs),
        idle_in_transaction_session_timeout: timeoutSetting(CHUNK_IDLE_MS),
      },
      { max: options.chunks ?? 1, query_timeout: queryMs, pipeline: true },
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

function openPool(
  { url, onIdleError }: DatabaseOptions,
  name: string,
  settings: Settings,
  more: pg.PoolConfig,
): pg.Pool {
  const config: pg.PoolConfig = {
    connectionString: url,
    application_name: `muster ${name}`,
    // The server's own timeouts come first; this one and `query_timeout` detect a server that vanished.
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
    ...more,
  };
  const onConnect = (client: pg.ClientBase) =>
    prepareSession(client, config, { ...SESSION, ...settings });
  // pg awaits the promise, although its types do not declare it
  const pool = new pg.Pool({ ...config, onConnect });
  pool.on('error', onIdleError);
  // The pool only handles errors of idle clients. The loss of a client in use would end the process; its
  // user gets the error with the next query.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** SQLSTATE of an error from Postgres; null for any other (connection refused, lost, timed out). */
export function sqlState(error: unknown): string | null {
  return error instanceof pg.DatabaseError ? (error.code ?? null) : null;
}

/**
 * Whether these values can never be stored: classes 21 (cardinality), 22 (data), 23 (constraint) and 54 (a
 * limit, such as an index entry too long), and keys with the same hash. Every other error is transient, even
 * permission and syntax errors: an operator fixes them, and no event is lost until then.
 */
export function isBadValue(error: unknown): boolean {
  return error instanceof KeyCollision || /^(21|22|23|54)/.test(sqlState(error) ?? '');
}

/**
 * Whether the server is away, busy or read-only (no connection, no address for its name, shutting down,
 * starting up, too many clients, a standby that is about to be promoted) and does not refuse us permanently.
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

/** Whether a statement timed out: the server cancelled it, or the client stopped waiting for its answer. */
export function isTimeout(error: unknown): boolean {
  return (
    sqlState(error) === '57014' ||
    (error instanceof Error && error.message === 'Query read timeout')
  );
}

/** Whether the server is read-only: a standby, or a primary that is set so. */
export function isReadOnly(error: unknown): boolean {
  return sqlState(error) === '25006';
}

/**
 * Returns what to change in DATABASE_URL if the server or a pooler refuses the connection; null for other
 * errors. A pooler uses the code of a protocol violation for most of its refusals.
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
    ? `${says}: a pooler in between refuses it; remove the parameter from DATABASE_URL, or name the server itself`
    : says;
}

/** Whether the login lacks a privilege, which `muster migrate` grants. */
export function isUngranted(error: unknown): boolean {
  return sqlState(error) === '42501';
}

/** Whether the database lacks a part of this release's schema (a schema, table, column or function). */
export function isUnmigrated(error: unknown): boolean {
  return /^(3F000|42P01|42703|42883)$/.test(sqlState(error) ?? '');
}

/** Whether the statement lost a race with another one (deadlock, serialization) and can be repeated. */
function isLostRace(error: unknown): boolean {
  const state = sqlState(error);
  return state === '40P01' || state === '40001';
}

/** Retries a statement that lost a race, without a delay. Sorted locks make even a single race rare. */
export const LOST_RACE: RetrySchedule = {
  attempts: 5,
  firstMs: 0,
  maxMs: 0,
  isRetryable: isLostRace,
};

/** Wraps the error in one that tells the caller to retry. */
export function unavailable(error: unknown): Unavailable {
  if (error instanceof Unavailable) return error;
  const state = sqlState(error);
  const message = state === null ? errorText(error) : `${errorText(error)} (SQLSTATE ${state})`;
  return new Unavailable('database', message, { cause: error });
}

/** The statements of a pool or a connection, as those of a transaction. */
export function queriesOf(client: Pick<pg.Pool, 'query'>): Tx {
  return {
    query: async <R extends object>(text: string, values: readonly unknown[] = []) => {
      const { rows, rowCount } = await client.query<R>(text, [...values]);
      return { rows, rowCount };
    },
  };
}

/** Runs `work` in a transaction; any error rolls it back, or drops the connection if that fails too. */
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

/** Commits; throws if the server rolls back instead, as it does after an error that `work` caught. */
export async function commit(client: pg.ClientBase): Promise<void> {
  const { command } = await client.query('commit');
  if (command !== 'COMMIT') {
    throw new Error('nothing was committed: a statement failed, and its error was caught');
  }
}
