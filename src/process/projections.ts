import type { Config } from '../config/config.ts';
import { milliseconds } from '../lib/duration.ts';
import type { Log, ProjectionDefinition } from '../function.ts';
import { errorText } from '../lib/error-text.ts';
import { Loop } from '../lib/loop.ts';
import { settleProjection } from './settle-projection.ts';
import { openDatabase, type Database } from '../state/database/database.ts';
import { registerProjection } from '../state/registration/register-projection.ts';

const SETTLE_EVERY = '1 second';

/** A projection with the id that its registration assigned. */
interface RegisteredProjection {
  readonly id: number;
  readonly definition: ProjectionDefinition;
}

/** The projections of one process. Their intake is separate (kafka-intake.ts). */
export interface Projections {
  readonly database: Database;
  readonly served: readonly RegisteredProjection[];
  /** Ends their periodic work and closes the database. Intake must have stopped before. */
  stop(): Promise<void>;
}

/** Registers projections and starts their periodic work. Rejects if the database can't be used. */
export async function startProjections(
  config: Config,
  definitions: readonly ProjectionDefinition[],
  log: Log,
): Promise<Projections> {
  const database = openDatabase({
    url: config.DATABASE_URL,
    writers: config.WRITERS,
    chunks: config.WRITERS * definitions.length + definitions.length,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: config.STATEMENT_TIMEOUT_SECONDS * 1000,
    onIdleError: (error) => log.warn({ error: error.message }, 'a database connection was lost'),
  });
  const served: RegisteredProjection[] = [];
  try {
    for (const definition of definitions) {
      served.push({ id: await registerProjection(database, definition), definition });
    }
  } catch (error) {
    await database.close();
    throw error;
  }
  const settling = served
    .filter(({ definition }) => definition.settle !== undefined)
    .map(
      ({ id, definition }) =>
        new Loop(
          milliseconds(definition.settleEvery ?? SETTLE_EVERY),
          () => settleProjection(database, id, definition, log),
          (error) =>
            log.warn(
              { function: definition.name, error: errorText(error) },
              'settling a projection failed, trying again',
            ),
        ),
    );
  return {
    database,
    served,
    async stop() {
      await Promise.all(settling.map((loop) => loop.stop()));
      await database.close();
    },
  };
}
