import { readConfig } from '../config/config.ts';
import { openDatabase, type Database } from '../state/database/database.ts';

/** Opens the state database for one command. */
export async function withDatabase<T>(work: (database: Database) => Promise<T>): Promise<T> {
  const database = openDatabase({
    url: readConfig(process.env).DATABASE_URL,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 60_000,
    onIdleError: () => {},
  });
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

interface Registered {
  readonly id: number;
  /** Topic of a projection; null for a set function. */
  readonly topic: string | null;
}

/** Returns a registered function; throws an error with the registered names if it is not one of them. */
export async function functionOf(database: Database, name: string): Promise<Registered> {
  const { rows } = await database.control.query<Registered & { name: string }>(
    'select id, name, topic from muster.function order by name',
  );
  const found = rows.find((row) => row.name === name);
  if (found === undefined) {
    throw new Error(
      `function '${name}' is not registered (registered: ${rows.map((row) => row.name).join(', ') || 'none'})`,
    );
  }
  return found;
}

/** Returns the id of a set function; throws for a projection, which has no sets. */
export async function functionId(database: Database, name: string): Promise<number> {
  const { id, topic } = await functionOf(database, name);
  if (topic === null) return id;
  throw new Error(
    `${name} is a projection of the topic ${topic} and has no sets; see its progress with: muster positions ${name}`,
  );
}

/** Returns a projection; throws for a set function. */
export async function projectionOf(
  database: Database,
  name: string,
): Promise<Registered & { topic: string }> {
  const { id, topic } = await functionOf(database, name);
  if (topic !== null) return { id, topic };
  throw new Error(
    `${name} is not a projection: its progress is that of its consumer group in Kafka`,
  );
}

/** Returns the names of the columns that make up a function's keys. */
export async function keyColumns(database: Database, id: number): Promise<string[]> {
  const { rows } = await database.control.query<{ key: string[] }>(
    `select specification -> 'key' as key from muster.part where function = $1 and in_use limit 1`,
    [id],
  );
  return rows[0]?.key ?? [];
}
