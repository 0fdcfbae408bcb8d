import { plural } from '../doctor/plural.ts';
import type { Difference, Kind } from '../reconcile/difference.ts';
import { reconcile, type Reconciliation } from '../reconcile/reconcile.ts';
import { storedFunction } from '../state/registration/stored-function.ts';
import { functionId, withDatabase } from './database.ts';
import { wholeNumber } from './number.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { checkSourceUrl } from './source-url.ts';
import { WrongUse } from './wrong-use.ts';

export interface ReconcileCommandOptions extends JsonOption {
  readonly source?: string;
  readonly connector?: string;
  readonly wait: string;
  readonly repair?: boolean;
  readonly force?: boolean;
  readonly rerunForgotten?: boolean;
}

const FORGOTTEN =
  'their sets may be done and forgotten (forgetAfter), and would run again with --rerun-forgotten';
/** A day. */
const MAX_WAIT = 86_400;
/** Maximum number of differences listed as text. */
const MAX_LINES = 50;

export async function run(fn: string, options: ReconcileCommandOptions): Promise<void> {
  const { source: url, connector = null, repair = false } = options;
  if (url === undefined) throw new WrongUse('name the source database: --source <url>');
  checkSourceUrl(url, 'its tables and the end of its log');
  const waitMs = wholeNumber('--wait', options.wait, 0, MAX_WAIT) * 1000;
  const result = await withDatabase(async (database) => {
    await functionId(database, fn); // explains a name that is none
    const stored = (await storedFunction(database, fn))!;
    return reconcile(database, stored, {
      url,
      connector,
      waitMs,
      repairs: repair,
      trusts: options.force === true,
      rerunsForgotten: options.rerunForgotten === true,
      say,
    });
  });
  printResult(options, { function: fn, ...result }, textOf(fn, result, repair));
  const { notCompared, differences, repaired, notRepaired } = result;
  const isEqual = repaired === differences.length && notRepaired.length === 0;
  if (!isEqual || Object.keys(notCompared).length > 0) process.exitCode = 1;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function textOf(fn: string, result: Reconciliation, repairs: boolean): string {
  const { compared, notCompared, withoutTable, differences, forgotten, repaired, notRepaired } =
    result;
  const rows = Object.values(compared).reduce((sum, count) => sum + count, 0);
  const more = differences.length - MAX_LINES;
  const lines = [
    ...differences.slice(0, MAX_LINES).map(lineOf),
    ...(more > 0 ? [`and ${more} more: --json lists all`] : []),
    ...Object.entries({ ...notCompared, ...withoutTable }).map(
      ([part, why]) => `${part} was not compared: ${why}`,
    ),
    ...notRepaired.map((why) => `${repairs ? 'not corrected' : 'to be considered'}: ${why}`),
    ...(forgotten > 0 ? [`${plural(forgotten, 'row')} not held: ${FORGOTTEN}`] : []),
    `${fn}: ${plural(rows, 'row')} compared, ${differences.length} ${differences.length === 1 ? 'differs' : 'differ'}${outcomeOf(differences.length, repaired, repairs)}`,
  ];
  return lines.join('\n');
}

function outcomeOf(differing: number, repaired: number, repairs: boolean): string {
  if (differing === 0) return '';
  return repairs ? `, ${repaired} corrected` : '; to correct this: --repair';
}

const WORDS: Readonly<Record<Kind, (difference: Difference) => string>> = {
  missing: ({ key }) => `is not held in its set ${key}`,
  moved: ({ key, heldKey }) => `is held in the set ${heldKey}, but belongs to ${key}`,
  left: ({ heldKey }) => `is held in the set ${heldKey}, but no longer in a set of this part`,
  gone: ({ heldKey }) => `is held in the set ${heldKey}, but not in the table`,
};

function lineOf(difference: Difference): string {
  return `${difference.part} ${difference.id}: ${WORDS[difference.kind](difference)}`;
}
