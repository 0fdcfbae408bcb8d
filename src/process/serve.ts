import { pino } from 'pino';
import type { Config } from '../config/config.ts';
import type { Definition } from '../function.ts';
import { stopRequested } from '../lib/stop.ts';
import { withTimeout } from '../lib/timeout.ts';
import { createLog } from '../telemetry/log.ts';
import { Service } from './service.ts';
import type { WarmConnection } from './warm-connection.ts';

/** Time limit after a failed start for ending what was started; the process ends then in any case. */
const FAILED_START_MS = 800;

/**
 * Serves functions until a stop is requested. At a stop the process is not ready, answers new events with
 * 503 and those in progress as usual, and finishes or releases its runs. Resolves when that is done; rejects if
 * the start fails. A caller that has already connected or listens for stop requests passes `opening` and
 * `stopped`.
 */
export async function serve(
  config: Config,
  definitions: readonly Definition[],
  opening?: WarmConnection,
  stopped: Promise<string> = stopRequested(config.EXIT_WITH_STDIN === '1'),
): Promise<void> {
  const log = createLog(config.LOG_LEVEL, pino.destination({ dest: 2, sync: true }));
  const service = new Service(config, definitions, log);
  // A stop during the start also ends what has been started so far.
  const starting = service.start(stopped, opening);
  try {
    const reason = await Promise.race([starting.then(() => stopped), stopped]);
    log.info({ reason }, 'stopping');
  } catch (error) {
    await withTimeout(service.stop(0), FAILED_START_MS).catch(() => {});
    throw error;
  }
  // If the database is unavailable, nothing can be released; the leases then expire.
  setTimeout(() => process.exit(1), (config.DRAIN_SECONDS + 10) * 1000).unref();
  await service.stop(config.DRAIN_SECONDS * 1000);
  log.info({}, 'stopped');
}
