import type { Config } from '../config/config.ts';
import type { FunctionDefinition } from '../function.ts';
import { timeoutMs } from '../runs/retry-policy.ts';
import { openDatabase, type Database } from '../state/database/database.ts';
import { openWriter } from '../state/ingest/store.ts';

/**
 * Connections to the state database that a process opens first, while it loads everything else. The promises
 * never reject: the first query on a connection that could not be opened reports the error.
 */
export interface WarmConnection {
  readonly database: Database;
  /** Resolves when the connection for control statements is open. */
  readonly controls: Promise<void>;
  /** Resolves when a connection is open that ingests the first change as fast as later ones. */
  readonly writes: Promise<void>;
  /** Called when an idle connection is lost. */
  onLost: (error: Error) => void;
}

/** Starts to connect, which takes about as long as loading the rest of the process. */
export function openWarmConnection(
  config: Config,
  definitions: readonly FunctionDefinition[],
): WarmConnection {
  const database = openDatabase({
    url: config.DATABASE_URL,
    writers: config.WRITERS,
    handlers: config.CONCURRENCY,
    handlerIdleMs: Math.max(0, ...definitions.map(timeoutMs)) + 60_000,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_SECONDS * 1000,
    onIdleError: (error) => opening.onLost(error),
  });
  const opening: WarmConnection = {
    database,
    controls: quietly(database.control.connect().then((client) => client.release())),
    writes: quietly(definitions.length > 0 ? openWriter(database) : Promise.resolve()),
    onLost: () => {},
  };
  return opening;
}

function quietly(work: Promise<void>): Promise<void> {
  return work.catch(() => {});
}
