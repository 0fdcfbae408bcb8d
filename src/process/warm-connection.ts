import type { Config } from '../config/config.ts';
import type { FunctionDefinition } from '../function.ts';
import { timeoutMs } from '../runs/function-handler.ts';
import { openDatabase, type Database } from '../state/database/database.ts';
import { openWriter } from '../state/ingest/store.ts';

/**
 * The state database as a process needs it first, before everything else is loaded. The promises do not
 * reject: whoever needs a connection that could not be opened is told why.
 */
export interface WarmConnection {
  readonly database: Database;
  /** Resolves when there is a connection for control. */
  readonly controls: Promise<void>;
  /** Resolves when there is one that files changes, and would be as quick with the first as with others. */
  readonly writes: Promise<void>;
  /** Is told of connections that are lost while nobody uses them. */
  onLost: (error: Error) => void;
}

/** Begins to connect, which takes the database as long as it takes this process to load the rest. */
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
