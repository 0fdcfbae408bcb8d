import type pg from 'pg';
import { openSession, OWN_PATH, SESSION, timeoutSetting } from './session.ts';

/** WorkerLease renews the lease of a process on a separate connection, which it opens when needed. */
export class WorkerLease {
  readonly #url: string;
  readonly #leaseSeconds: number;
  #client: pg.Client | null = null;

  constructor(url: string, leaseSeconds: number) {
    this.#url = url;
    this.#leaseSeconds = leaseSeconds;
  }

  /** Returns false if the worker is no longer registered. On an error, closes the connection and rejects. */
  async renew(worker: string): Promise<boolean> {
    try {
      this.#client ??= await this.#connect();
      const { rowCount } = await this.#client.query(
        'update muster.worker set lease_until = now() + make_interval(secs => $2::float8) where id = $1',
        [worker, this.#leaseSeconds],
      );
      return rowCount === 1;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    const client = this.#client;
    this.#client = null;
    await client?.end().catch(() => {});
  }

  async #connect(): Promise<pg.Client> {
    const halfMs = this.#leaseSeconds * 500;
    const config = {
      connectionString: this.#url,
      application_name: 'muster heartbeat',
      connectionTimeoutMillis: halfMs,
      query_timeout: halfMs,
      keepAlive: true,
    };
    // Without the server's own timeout, each renewal that waits for the row would leave a session behind.
    const settings = { ...SESSION, ...OWN_PATH, statement_timeout: timeoutSetting(halfMs) };
    return openSession(config, settings);
  }
}
