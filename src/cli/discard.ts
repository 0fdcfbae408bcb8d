import { plural } from '../doctor/plural.ts';
import { forgetIgnored } from '../state/ingest/ignored-streams.ts';
import { unpark } from '../state/ingest/parked.ts';
import { discardRuns } from '../state/runs/retry-sets.ts';
import { keyText } from '../state/key-text.ts';
import { functionId, withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { wholeNumber } from './number.ts';
import { requireKeyOrAll, WrongUse } from './wrong-use.ts';

export interface DiscardParkedOptions extends JsonOption {
  readonly reason?: string;
}

/** Deletes parked events by their numbers, or all with one reason. */
export async function parked(
  given: readonly string[],
  options: DiscardParkedOptions,
): Promise<void> {
  const { reason } = options;
  if (given.length === 0 && reason === undefined) {
    throw new WrongUse('specify numbers of parked events, or a --reason');
  }
  const ids = given.length === 0 ? undefined : given.map((id) => String(wholeNumber('id', id)));
  const discarded = await withDatabase((database) => unpark(database, { ids, reason }));
  const missing = (ids ?? []).filter((id) => !discarded.includes(id));
  printResult(options, { discarded }, `${plural(discarded.length, 'event')} discarded`);
  const why = reason === undefined ? '' : ` for the reason ${reason}`;
  if (missing.length > 0) throw new Error(`no such parked event${why}: ${missing.join(', ')}`);
  if (discarded.length === 0) throw new Error(`no event is parked${why}`);
}

/** Forgets how many events were ignored, which are not stored themselves. */
export async function ignored(name: string | undefined, options: JsonOption): Promise<void> {
  const discarded = await withDatabase((database) => forgetIgnored(database, name ?? null));
  if (discarded.length === 0 && name !== undefined) {
    throw new Error(`nothing named ${name} was ignored; see: muster ignored`);
  }
  printResult(options, { discarded }, `${plural(discarded.length, 'count')} discarded`);
}

export interface DiscardRunsOptions extends JsonOption {
  readonly all?: boolean;
}

/** Permanently gives up failed runs: that of one set, or all of a function. */
export async function runs(
  fn: string,
  key: string | undefined,
  options: DiscardRunsOptions,
): Promise<void> {
  requireKeyOrAll(key, options.all === true);
  const discarded = await withDatabase(async (database) => {
    const id = await functionId(database, fn);
    return discardRuns(database, id, key === undefined ? null : keyText(key));
  });
  if (discarded === 0 && key !== undefined) {
    throw new Error(`${fn} ${key} has not failed; see: muster explain ${fn} '${key}'`);
  }
  printResult(options, { function: fn, discarded }, `${plural(discarded, 'run')} discarded`);
}
