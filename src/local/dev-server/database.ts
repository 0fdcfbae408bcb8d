import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { CleanUp } from '../../lib/clean-up.ts';
import { errorText } from '../../lib/error-text.ts';
import { startPostgres } from '../postgres/postgres.ts';
import { withClient } from '../with-client.ts';

export interface DatabaseOptions {
  /** Null: an embedded PostgreSQL, which keeps its data in `.muster/dev`. */
  readonly databaseUrl: string | null;
  /** SQL file that creates tables in the embedded database when that is new. */
  readonly sql: string | null;
  readonly say: (line: string) => void;
}

/** Returns the URL of the state database; starts the embedded one, unless another is given. */
export async function openDatabase(options: DatabaseOptions, parts: CleanUp): Promise<string> {
  const { databaseUrl } = options;
  if (databaseUrl === null) return embedded(options, parts);
  await requireAnswer(databaseUrl);
  return databaseUrl;
}

/** Returns a short name of a database, which stays as long as its data does. */
export async function databaseId(url: string): Promise<string> {
  const [row] = await withClient(url, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select concat_ws('/', system_identifier, oid) as id from pg_control_system(), pg_database
       where datname = current_database()`,
    );
    return rows;
  });
  return createHash('sha256').update(row!.id).digest('hex').slice(0, 8);
}

async function embedded({ say, sql }: DatabaseOptions, parts: CleanUp): Promise<string> {
  const folder = join(process.cwd(), '.muster/dev');
  const text = sql === null ? null : readFileSync(sql, 'utf8');
  const postgres = await startPostgres({ folder, say });
  parts.defer(() => postgres.stop());
  if (text === null) return postgres.url;
  await runOnce(postgres.url, text).catch((error: Error) => {
    throw new Error(`${sql}: ${error.message}; delete .muster/dev to begin again`, {
      cause: error,
    });
  });
  return postgres.url;
}

/** Throws if a database can't be used: waiting for it, as a pod does, would only seem to hang. */
async function requireAnswer(url: string): Promise<void> {
  await withClient(url, async () => {}).catch((error: unknown) => {
    throw new Error(`the database of --database-url can't be used: ${errorText(error)}`, {
      cause: error,
    });
  });
}

/** Marks a database in which the SQL has run. */
const MARK = 'muster dev: its tables are created';

/** Runs SQL in one transaction, once per database. */
async function runOnce(url: string, text: string): Promise<void> {
  await withClient(url, async (client) => {
    const { rows } = await client.query<{ mark: string | null; name: string }>(
      `select shobj_description(oid, 'pg_database') as mark, datname as name
       from pg_database where datname = current_database()`,
    );
    if (rows[0]!.mark === MARK) return;
    const name = pg.escapeIdentifier(rows[0]!.name);
    await client.query(`begin; ${text}; comment on database ${name} is '${MARK}'; commit`);
  });
}
