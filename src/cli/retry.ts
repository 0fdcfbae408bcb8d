import { retryFailed, retryNow } from '../state/runs/retry-sets.ts';
import { keyText } from '../state/key-text.ts';
import { functionId, withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { requireKeyOrAll } from './wrong-use.ts';

export interface RetryOptions extends JsonOption {
  readonly all?: boolean;
  readonly now?: boolean;
}

export async function run(
  fn: string,
  key: string | undefined,
  options: RetryOptions,
): Promise<void> {
  requireKeyOrAll(key, options.all === true);
  const retried = await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    const text = key === undefined ? null : keyText(key);
    return options.now === true ? retryNow(database, id, text) : retryFailed(database, id, text);
  });
  if (retried === 0 && key !== undefined) {
    throw new Error(
      options.now === true
        ? `${fn} ${key} is not waiting for another attempt; see: muster explain ${fn} '${key}'`
        : `${fn} ${key} has not failed; see: muster explain ${fn} '${key}'`,
    );
  }
  const ready = options.now === true ? 'due now' : 'ready to run again';
  const text = retried === 1 ? `1 set is ${ready}` : `${retried} sets are ${ready}`;
  printResult(options, { function: fn, retried }, text);
}
