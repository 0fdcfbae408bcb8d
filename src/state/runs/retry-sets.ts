import type { QueryConfig } from 'pg';
import { retry } from '../../lib/retry.ts';
import { LOST_RACE, type Database } from '../database/database.ts';
import { sql } from '../sql.ts';

const RETRY_FAILED = sql('retry-failed');
const RETRY_NOW = sql('retry-now');
const DISCARD_RUNS = sql('discard-runs');

const PAGE = 1_000;

/** Makes failed runs ready again, of a function or of one set; returns their number. */
export async function retryFailed(
  database: Database,
  functionId: number,
  key: string | null,
): Promise<number> {
  const values = [functionId, key, await now(database), PAGE];
  return everyPage(database, { ...RETRY_FAILED, values });
}

/** Makes runs in backoff due at once, of a function or of one set; returns their number. */
export async function retryNow(
  database: Database,
  functionId: number,
  key: string | null,
): Promise<number> {
  return everyPage(database, { ...RETRY_NOW, values: [functionId, key, PAGE] });
}

/** Discards failed runs, of a function or of one set; returns their number. */
export async function discardRuns(
  database: Database,
  functionId: number,
  key: string | null,
): Promise<number> {
  const values = [functionId, key, await now(database), PAGE];
  return everyPage(database, { ...DISCARD_RUNS, values });
}

async function everyPage(database: Database, query: QueryConfig): Promise<number> {
  let total = 0;
  for (;;) {
    const { rows } = await retry(
      () => database.control.query<{ looked: number; changed: number }>(query),
      LOST_RACE,
    );
    total += rows[0]!.changed;
    if (rows[0]!.looked === 0) return total;
  }
}

/** Returns the server's time as text, with the server's precision. */
async function now(database: Database): Promise<string> {
  const { rows } = await database.control.query<{ now: string }>('select now()::text as now');
  return rows[0]!.now;
}
