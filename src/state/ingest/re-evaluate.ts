import type { Database } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { markEvaluated, pageOfSets, unevaluated } from '../registration/register.ts';
import type { Store } from './store.ts';

/**
 * Evaluates every set of a function whose rule has changed by the new rule, page by page, with the
 * statement that ingests changes. Ends between two pages when `stopped` returns true; another process
 * then starts again from the first page, because evaluating a set twice changes nothing.
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
