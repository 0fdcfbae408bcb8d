import type { Database } from '../database/database.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import { markEvaluated, pageOfSets, unevaluated } from '../registration/register.ts';
import { FIRST_HASH } from '../key-hash.ts';
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
    for (let after = FIRST_HASH; ;) {
      if (stopped()) return;
      const sets = await pageOfSets(database, served.id, after);
      if (sets.length === 0) break;
      await store.ingest(
        [],
        undefined,
        sets.map(({ key }) => ({ function: served.id, key })),
      );
      after = sets.at(-1)!.keyHash;
    }
    await markEvaluated(database, served);
  }
}
