import { Runs } from '../state/runs.ts';
import { functionId, keyText, withDatabase } from './database.ts';
import { WrongUse } from './wrong-use.ts';

export async function run(
  fn: string,
  key: string | undefined,
  options: { all?: boolean },
): Promise<void> {
  if ((key === undefined) === (options.all !== true))
    throw new WrongUse('name the key of a set, or say --all');
  const retried = await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    return new Runs(database).retry(id, key === undefined ? null : keyText(key));
  });
  if (retried === 0 && key !== undefined) {
    throw new Error(
      `${fn} ${key} has not failed: muster explain ${fn} '${key}' says how it stands`,
    );
  }
  process.stdout.write(
    retried === 1 ? '1 set is ready to run again\n' : `${retried} sets are ready to run again\n`,
  );
}
