import { pino, type Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { createLog } from '../telemetry/log.ts';
import { waitUntilReady } from '../state/wait-until-ready.ts';
import { openReader, type Reader } from '../state/database/reader.ts';
import { stopRequested } from '../lib/stop.ts';
import { createConsole } from './app.ts';
import { loadConsoles } from './consoles.ts';

/** Sessions with the database; what many people ask at once is asked once. */
const CONNECTIONS = 4;
/** At a stop, answers under way may take so long. */
const STOP_MS = 5_000;

/**
 * Serves the console of these functions until SIGTERM or SIGINT. It starts without the database, says
 * what it waits for, and is not ready until that answers.
 */
export async function serveConsole(config: Config): Promise<void> {
  const stopped = stopRequested(config.EXIT_WITH_STDIN === '1');
  const log = createLog(config.LOG_LEVEL, pino.destination({ dest: 2, sync: true }));
  await using parts = new AsyncDisposableStack();
  const reader = openReader({
    url: config.DATABASE_URL,
    connections: CONNECTIONS,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_SECONDS * 1000,
    onIdleError: (error) => log.warn({ error: error.message }, 'a database connection was lost'),
  });
  parts.defer(() => reader.close());
  const consoles = await loadConsoles(config.FUNCTIONS);
  const app = await createConsole({
    db: reader,
    consoles,
    logger: log,
    instance: config.INSTANCE_ID,
    requestTimeoutMs: config.REQUEST_TIMEOUT_SECONDS * 1000,
  });
  parts.defer(() => app.close());
  const url = await app.listen({ host: config.HOST, port: config.PORT });
  log.info({ url, functions: consoles.map((each) => each.name) }, 'serving');
  const reason = await Promise.race([stopped, brokenDatabase(reader, log, stopped)]);
  log.info({ reason }, 'stopping');
  // Whoever does not read its answer to the end must not hold up the stop.
  setTimeout(() => app.server.closeAllConnections(), STOP_MS).unref();
  setTimeout(() => process.exit(1), 2 * STOP_MS).unref();
  await parts.disposeAsync();
  log.info({}, 'stopped');
}

/** Rejects where the database refuses the console for good; says meanwhile what it waits for. */
async function brokenDatabase(
  reader: Reader,
  log: Logger,
  stopped: Promise<string>,
): Promise<never> {
  const ask = () => reader.read((tx) => tx.query('select from muster.function limit 1'));
  await waitUntilReady(ask, (fields, why) => log.warn(fields, why), stopped);
  return new Promise(() => {});
}
