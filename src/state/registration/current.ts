import type { Database } from '../database/database.ts';
import { unavailable } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import type { Specification } from '../../definitions/specification.ts';
import { Unavailable } from '../outcome.ts';
import { sql } from '../sql.ts';

const CURRENT_DEFINITIONS = sql('current-definitions');

/** The identity of a registered definition. */
export interface Registered extends Pick<RegisteredFunction, 'id' | 'registration'> {
  readonly specification: Pick<Specification, 'name'>;
}

/**
 * Throws {@link Unavailable} with the reason `superseded`, naming the function, unless each of these
 * definitions is the one that is registered in the database.
 */
export async function requireCurrent(
  database: Database,
  served: readonly Registered[],
): Promise<void> {
  const { rows } = await database.control.query<{ name: string; generation: number | null }>({
    ...CURRENT_DEFINITIONS,
    values: [
      served.map((each) => each.specification.name),
      served.map((each) => each.id),
      served.map((each) => each.registration),
    ],
  });
  const [first] = rows;
  if (first === undefined) return;
  throw new Unavailable(
    'superseded',
    first.generation === null
      ? `function ${first.name} is not registered in this state database any more: run 'muster migrate', then restart this process`
      : `a newer definition of function ${first.name} is registered (generation ${first.generation})`,
  );
}

/** Throws {@link Unavailable} with the reason why a statement found these definitions outdated. */
export async function refuseOutdated(
  database: Database,
  served: readonly Registered[],
): Promise<never> {
  await requireCurrent(database, served);
  throw new Unavailable('database', 'a definition changed while the event was ingested');
}

/**
 * CurrentCheck checks that the definitions served by this process are the newest. Calls made while a statement
 * runs share the next one: the snapshot of the running one may be older than a registration that the caller
 * must see.
 */
export class CurrentCheck {
  readonly #database: Database;
  readonly #served: readonly RegisteredFunction[];
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | null = null;

  constructor(database: Database, served: readonly RegisteredFunction[]) {
    this.#database = database;
    this.#served = served;
  }

  /** Throws {@link Unavailable}. */
  check(): Promise<void> {
    return (this.#next ??= this.#after(this.#running));
  }

  async #after(running: Promise<void>): Promise<void> {
    await running.catch(() => {});
    // Waiting one turn of the event loop lets concurrent callers share a statement.
    await new Promise((resolve) => setImmediate(resolve));
    this.#running = this.#next!;
    this.#next = null;
    try {
      await requireCurrent(this.#database, this.#served);
    } catch (error) {
      throw unavailable(error);
    }
  }
}
