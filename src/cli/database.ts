import { readConfig } from '../config/config.ts';
import { openDatabase, type Database } from '../state/database/database.ts';

/** Runs one command on the state database. */
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
  /** Of a projection; null for functions of sets. */
  readonly topic: string | null;
}

/** A registered function; throws with the names there are. */
export async function functionOf(database: Database, name: string): Promise<Registered> {
  const { rows } = await database.control.query<Registered & { name: string }>(
    'select id, name, topic from muster.function order by name',
  );
  const found = rows.find((row) => row.name === name);
  if (found === undefined) {
    throw new Error(
      `no function '${name}' is registered (${rows.map((row) => row.name).join(', ') || 'none is'})`,
    );
  }
  return found;
}

/** Id of a function of sets; throws for a projection, which has none. */
export async function functionId(database: Database, name: string): Promise<number> {
  const { id, topic } = await functionOf(database, name);
  if (topic === null) return id;
  throw new Error(
    `${name} is a projection of the topic ${topic} and has no sets: muster positions ${name} says how far it is`,
  );
}

/** A projection; throws for a function of sets. */
export async function projectionOf(
  database: Database,
  name: string,
): Promise<Registered & { topic: string }> {
  const { id, topic } = await functionOf(database, name);
  if (topic !== null) return { id, topic };
  throw new Error(
    `${name} is no projection: where it is in its topics, its consumer group in Kafka says`,
  );
}

/** A key as it is stored: a JSON array may be given with spaces. */
export function keyText(key: string): string {
  try {
    const values: unknown = JSON.parse(key);
    return Array.isArray(values) ? JSON.stringify(values) : key;
  } catch {
    return key;
  }
}

/** Names of the columns that make up a function's keys. */
export async function keyColumns(database: Database, id: number): Promise<string[]> {
  const { rows } = await database.control.query<{ key: string[] }>(
    `select specification -> 'key' as key from muster.part where function = $1 and in_use limit 1`,
    [id],
  );
  return rows[0]?.key ?? [];
}
