import { type Command, Option } from 'commander';
import { jsonOption } from './json-option.ts';
import type { ReconcileCommandOptions } from './reconcile.ts';

export function addReconcileCommand(program: Command): void {
  program
    .command('reconcile')
    .description('compare tables with what is held of their rows, and correct what differs')
    .argument('<function>', 'name of the function')
    .addOption(new Option('--source <url>', 'URL of the source database').env('SOURCE_URL'))
    .option(
      '--connector <name>',
      "name of its connector (Debezium's topic.prefix), if several are known",
    )
    .option('--wait <seconds>', 'how long a row must differ, since changes may be under way', '60')
    .option('--repair', 'store the rows as the tables have them; sets that become complete run')
    .option(
      '--force',
      'compare and correct a part in spite of doubts that its table is what should be held',
    )
    .option(
      '--rerun-forgotten',
      'store rows, too, whose sets may be done and forgotten (forgetAfter): these run again',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
The source is a PostgreSQL database, and is only read. Exits with 1 if rows differ and are not corrected, or a table
is not compared.

As JSON: {function, compared, notCompared, withoutTable, differences: [{part, id, kind, key, heldKey}], forgotten, repaired, notRepaired}; the kind
is missing (not held in its set), moved (held in another set), left (in no set of the part any more) or gone (not in the table).

Examples:
  muster reconcile recordings --source postgres://reader@db/app
  muster reconcile recordings --source postgres://reader@db/app --repair`,
    )
    .action(async (fn: string, options: ReconcileCommandOptions) =>
      (await import('./reconcile.ts')).run(fn, options),
    );
}
