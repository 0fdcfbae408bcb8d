import type { QueryConfig, QueryResult } from 'pg';
import { retry } from '../../lib/retry.ts';
import { LOST_RACE, type Database } from '../database/database.ts';
import { FIRST_HASH, keyHash } from '../key-hash.ts';
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
  return everyPage(database, RETRY_FAILED, functionId, key);
}

/** Makes runs in backoff due at once, of a function or of one set; returns their number. */
export async function retryNow(
  database: Database,
  functionId: number,
  key: string | null,
): Promise<number> {
  return everyPage(database, RETRY_NOW, functionId, key);
}

/** Discards failed runs, of a function or of one set; returns their number. */
export async function discardRuns(
  database: Database,
  functionId: number,
  key: string | null,
): Promise<number> {
  return everyPage(database, DISCARD_RUNS, functionId, key);
}

/** Applies the statement page by page, in the order of the hashes, so that a run that fails again ends no page. */
async function everyPage(
  database: Database,
  statement: QueryConfig,
  functionId: number,
  key: string | null,
): Promise<number> {
  const hash = key === null ? null : keyHash(key);
  let total = 0;
  let after: string | null = FIRST_HASH;
  while (after !== null) {
    const values: unknown[] = [functionId, hash, after, PAGE];
    const { rows }: QueryResult<Page> = await retry(
      () => database.control.query<Page>({ ...statement, values }),
      LOST_RACE,
    );
    total += rows[0]!.changed;
    after = rows[0]!.last;
  }
  return total;
}

interface Page {
  /** Hash of the last key of the page; null if the page is empty. */
  readonly last: string | null;
  readonly changed: number;
}
