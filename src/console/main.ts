import { pino, type Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { createLog } from '../telemetry/log.ts';
import { waitUntilReady } from '../state/wait-until-ready.ts';
import { openReader, type Reader } from '../state/database/reader.ts';
import { CleanUp } from '../lib/clean-up.ts';
import { stopRequested } from '../lib/stop.ts';
import { createConsole } from './app.ts';
import { loadConsoles } from './consoles.ts';
import type { DevelopmentPage } from './development-page.ts';

/** Number of database connections; a few suffice, because identical concurrent queries are executed once. */
const CONNECTIONS = 4;
/** Timeout at a stop for the responses in progress. */
const STOP_MS = 5_000;

/**
 * Serves the console until SIGTERM or SIGINT. The console starts even if the database does not answer; it then
 * logs what it is waiting for, and is not ready until the database answers.
 *
 * @param sendPage creates the page that sends events, which only `muster dev` has
 */
export async function serveConsole(
  config: Config,
  sendPage: (db: Reader) => DevelopmentPage | null = () => null,
): Promise<void> {
  const stopped = stopRequested(config.EXIT_WITH_STDIN === '1');
  const log = createLog(config.LOG_LEVEL, pino.destination({ dest: 2, sync: true }));
  await using parts = new CleanUp();
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
    sendPage: sendPage(reader),
    logger: log,
    instance: config.INSTANCE_ID,
    requestTimeoutMs: config.REQUEST_TIMEOUT_SECONDS * 1000,
  });
  parts.defer(() => app.close());
  const url = await app.listen({ host: config.HOST, port: config.PORT });
  log.info({ url, functions: consoles.map((each) => each.name) }, 'serving');
  const reason = await Promise.race([stopped, brokenDatabase(reader, log, stopped)]);
  log.info({ reason }, 'stopping');
  // A client that does not read its response to the end must not delay the stop.
  setTimeout(() => app.server.closeAllConnections(), STOP_MS).unref();
  setTimeout(() => process.exit(1), 2 * STOP_MS).unref();
  await parts[Symbol.asyncDispose]();
  log.info({}, 'stopped');
}

/** Rejects if the database permanently rejects the console; until the database is ready, logs why it is not. */
async function brokenDatabase(
  reader: Reader,
  log: Logger,
  stopped: Promise<string>,
): Promise<never> {
  const ask = () => reader.read((tx) => tx.query('select from muster.function limit 1'));
  await waitUntilReady(ask, (fields, why) => log.warn(fields, why), stopped);
  return new Promise(() => {});
}
