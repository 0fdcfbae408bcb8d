import type { Database } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { markEvaluated, pageOfSets, unevaluated } from '../registration/register.ts';
import type { Store } from './store.ts';

/**
 * Holds every set of a function whose rule has changed against the new rule, page by page, by the
 * same statement that files changes. Ends between two pages when `stopped` says so; another process
 * begins anew: a set held against its rule twice stays what it is.
 */
export async function reEvaluate(
  database: Database,
  store: Store,
  functions: readonly RegisteredFunction[],
  stopped: () => boolean = () => false,
): Promise<void> {
  for (const served of await unevaluated(database, functions)) {
    for (let after = ''; ;) {
      if (stopped()) return;
      const keys = await pageOfSets(database, served.id, after);
      if (keys.length === 0) break;
      await store.ingest(
        [],
        0,
        keys.map((key) => ({ function: served.id, key })),
      );
      after = keys.at(-1)!;
    }
    await markEvaluated(database, served);
  }
}
