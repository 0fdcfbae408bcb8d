import { Runs } from '../state/runs.ts';
import { functionId, withDatabase } from './database.ts';

export async function run(
  fn: string,
  key: string | undefined,
  options: { all?: boolean },
): Promise<void> {
  if ((key === undefined) === (options.all !== true))
    throw new Error('name the key of a set, or say --all');
  const retried = await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    return new Runs(database).retry(id, key ?? null);
  });
  process.stdout.write(`${retried} set${retried === 1 ? '' : 's'} will run again\n`);
  if (retried === 0 && key !== undefined) {
    throw new Error(
      `${fn} ${key} has not failed: muster explain ${fn} '${key}' says how it stands`,
    );
  }
}
