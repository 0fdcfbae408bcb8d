import { markResynced } from '../state/registration/parts.ts';
import { functionId, withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';

/** Records that the source has sent the rows of a function's new or changed parts again. */
export async function run(
  fn: string,
  part: string | undefined,
  options: JsonOption,
): Promise<void> {
  const parts = await withDatabase(async (database) =>
    markResynced(database, await functionId(database, fn), part ?? null),
  );
  if (parts.length === 0) {
    const which =
      part === undefined ? `no part of ${fn} waits` : `${fn} has no part ${part} that waits`;
    throw new Error(`${which} for its table to be read`);
  }
  printResult(
    options,
    { function: fn, parts },
    `${fn}: all rows are present for ${parts.join(', ')}`,
  );
}
