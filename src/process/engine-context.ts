import type { Config } from '../config/config.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import type { Log } from '../function.ts';
import type { Database } from '../state/database/database.ts';
import type { Metrics } from './metrics.ts';
import type { ServedFunction } from './register-functions.ts';

/** What all parts of an engine share. */
export interface EngineContext {
  readonly config: Config;
  readonly database: Database;
  readonly functions: readonly ServedFunction[];
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Registrations of the functions, without their definitions. */
export function registrationsOf({ functions }: EngineContext): RegisteredFunction[] {
  return functions.map((each) => each.served);
}

/** Returns an error handler for work that is repeated; it logs the error and what failed. */
export function retried({ log }: EngineContext, what: string): (error: unknown) => void {
  return (error) =>
    log.warn(
      { error: error instanceof Error ? error.message : String(error) },
      `${what} failed, trying again`,
    );
}
