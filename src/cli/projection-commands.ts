import type { Command } from 'commander';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';

/** Adds the commands for projections. */
export function addProjectionCommands(program: Command): void {
  program
    .command('positions')
    .description('show the progress of projections in their topics, and the records that were lost')
    .argument('[function]', 'only of this projection')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster positions travelers')
    .action(async (fn: string | undefined, options: JsonOption) =>
      (await import('./positions.ts')).run(fn, options),
    );

  program
    .command('seek')
    .description(
      'move a projection to another offset of a partition: records in between are skipped, or applied again',
    )
    .argument('<function>', 'name of the projection')
    .argument('<partition>', 'number of the partition')
    .argument('<offset>', 'offset of the next record to read')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster seek travelers 3 0')
    .action(async (fn: string, partition: string, offset: string, options: JsonOption) =>
      (await import('./seek.ts')).run(fn, partition, offset, options),
    );
}
