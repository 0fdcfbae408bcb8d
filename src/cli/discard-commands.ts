import type { Command } from 'commander';
import type { DiscardParkedOptions, DiscardRunsOptions } from './discard.ts';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';

/** Adds `muster discard parked`, `muster discard ignored` and `muster discard runs`. */
export function addDiscardCommands(discard: Command): void {
  discard
    .command('parked')
    .description('delete parked events')
    .argument('[id...]', 'numbers of parked events')
    .option('--reason <reason>', 'only events parked for this reason; without ids, all of them')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster discard parked 17 18')
    .action(async (ids: string[], options: DiscardParkedOptions) =>
      (await import('./discard.ts')).parked(ids, options),
    );

  discard
    .command('ignored')
    .description('forget how many events were ignored: of one type or table, or all')
    .argument('[name]', 'only this type or table')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster discard ignored com.shop.order.payed')
    .action(async (name: string | undefined, options: JsonOption) =>
      (await import('./discard.ts')).ignored(name, options),
    );

  discard
    .command('runs')
    .description('mark failed runs as done without running them again: one, or all of a function')
    .argument('<function>', 'name of the function')
    .argument('[key]', 'key of the set; several columns as a JSON array')
    .option('--all', 'all failed sets of the function')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster discard runs orders 4711')
    .action(async (fn: string, key: string | undefined, options: DiscardRunsOptions) =>
      (await import('./discard.ts')).runs(fn, key, options),
    );
}
