import { listSets, type MissingPart, type SetStatus } from '../state/queries/list-sets.ts';
import { queriesOf, transaction } from '../state/database/database.ts';
import { functionId, withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';
import { noteLimit, wholeNumber } from './number.ts';

export interface SetsOptions extends JsonOption {
  readonly waiting?: boolean;
  readonly overdue?: boolean;
  readonly failed?: boolean;
  readonly limit: string;
}

export async function run(fn: string | undefined, options: SetsOptions): Promise<void> {
  const limit = wholeNumber('--limit', options.limit);
  const { overdue = false } = options;
  const status = options.failed ? 'failed' : options.waiting ? 'waiting' : null;
  const { sets, isIgnoring } = await withDatabase(async (database) => {
    if (fn !== undefined) await functionId(database, fn);
    const found = await transaction(database.control, (client) =>
      listSets(queriesOf(client), { function: fn ?? null, status, overdue }, limit),
    );
    const { rowCount } = await database.control.query('select from muster.ignored limit 1');
    return { sets: found, isIgnoring: rowCount === 1 };
  });
  for (const set of sets) {
    process.stdout.write(`${options.json ? JSON.stringify(set) : toLine(set)}\n`);
  }
  if (sets.length === 0 && !options.json) {
    const hint = isIgnoring ? '; events arrive that no function names: muster ignored' : '';
    process.stderr.write(`no such set${hint}\n`);
  }
  noteLimit(sets.length, limit);
}

function toLine(set: SetStatus): string {
  const missing = set.missing.map(describeMissing).join(', ');
  return [
    set.function,
    set.key,
    set.overdue ? 'overdue' : set.status,
    set.since === null ? '' : `since ${set.since.toISOString()}`,
    missing === '' ? (set.error ?? '') : `missing: ${missing}`,
  ]
    .join('\t')
    .trimEnd();
}

function describeMissing({ part, have, need }: MissingPart): string {
  return need === 1 ? part : `${part} (${have} of ${need})`;
}
