import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { freePort } from '../../src/local/port.ts';
import { startPostgres, type Postgres } from '../../src/local/postgres/postgres.ts';

/** A PostgreSQL server that pods can reach, too, and that can be stopped and restarted. */
export class Database {
  readonly #host: string;
  readonly #folder: string;
  readonly #port: number;
  #postgres: Postgres;
  #pool: pg.Pool;

  private constructor(host: string, folder: string, port: number, postgres: Postgres) {
    this.#host = host;
    this.#folder = folder;
    this.#port = port;
    this.#postgres = postgres;
    this.#pool = newPool(postgres.url);
  }

  static async start(host: string, folder: string): Promise<Database> {
    const port = await freePort();
    const postgres = await start(host, folder, port);
    const database = new Database(host, folder, port, postgres);
    appendFileSync(join(postgres.folder, 'data/pg_hba.conf'), 'host all all all scram-sha-256\n');
    await database.query('select pg_reload_conf()');
    return database;
  }

  /** For connections from this machine. */
  get url(): string {
    return this.#postgres.url;
  }

  /** For connections from pods. */
  get podUrl(): string {
    const url = new URL(this.url);
    url.hostname = this.#host;
    return url.href;
  }

  get port(): number {
    return this.#port;
  }

  async query<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
    return (await this.#pool.query<R>(text, values)).rows;
  }

  /** Stops the server: connections break, new ones are refused. */
  async stop(): Promise<void> {
    await this.#pool.end();
    await this.#postgres.stop();
  }

  async restart(): Promise<void> {
    this.#postgres = await start(this.#host, this.#folder, this.#port);
    this.#pool = newPool(this.url);
  }
}

function start(host: string, folder: string, port: number): Promise<Postgres> {
  const settings = { listen_addresses: `127.0.0.1,${host}`, max_connections: '300' };
  return startPostgres({ folder, port, settings });
}

function newPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 });
  pool.on('error', () => {}); // the next query reports it
  return pool;
}
