import type { Command } from 'commander';
import { jsonOption, type JsonOption } from './json-option.ts';

/** Adds the commands about projections. */
export function addProjectionCommands(program: Command): void {
  program
    .command('positions')
    .description('how far projections are in their topics, and what was lost on the way')
    .argument('[function]', 'only of this projection')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster positions travelers')
    .action(async (fn: string | undefined, options: JsonOption) =>
      (await import('./positions.ts')).run(fn, options),
    );

  program
    .command('seek')
    .description(
      'let a projection go on elsewhere in a partition: records in between are skipped, or applied a second time',
    )
    .argument('<function>', 'name of the projection')
    .argument('<partition>', 'number of the partition')
    .argument('<offset>', 'of the next record to read')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster seek travelers 3 0')
    .action(async (fn: string, partition: string, offset: string, options: JsonOption) =>
      (await import('./seek.ts')).run(fn, partition, offset, options),
    );
}
