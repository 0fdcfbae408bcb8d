import type { Command } from 'commander';
import type { EpochOptions } from './epoch.ts';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';

/** Adds the commands for the connectors that rows come from. */
export function addSourceCommands(program: Command): void {
  program
    .command('epoch')
    .description('manage the epochs of log positions')
    .command('bump')
    .description(
      'start a new epoch: the source database was restored or recreated, so its log positions restart',
    )
    .argument('<source>', "name of the connector (Debezium's topic.prefix)")
    .option(
      '--since <time>',
      'commit time of the first change in it (default: that of the first change parked for it)',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  muster epoch bump postgres\n  muster epoch bump postgres --since 2026-06-01T12:00:00Z',
    )
    .addOption(jsonOption())
    .action(async (source: string, options: EpochOptions) =>
      (await import('./epoch.ts')).run(source, options),
    );

  const source = program
    .command('source')
    .description('manage the connectors that rows come from; each has its own rows, by its name');

  source
    .command('list')
    .description('list the connectors with the newest position of each')
    .addOption(jsonOption())
    .action(async (options: JsonOption) => (await import('./source.ts')).list(options));

  source
    .command('replace')
    .description('let a connector take over the rows of one that was renamed or replaced')
    .argument('<old>', 'name of the former connector')
    .argument('<new>', 'name of the connector that replaced it')
    .addHelpText('after', '\nExample:\n  muster source replace postgres postgres-18')
    .addOption(jsonOption())
    .action(async (old: string, successor: string, options: JsonOption) =>
      (await import('./source.ts')).replace(old, successor, options),
    );

  source
    .command('forget')
    .description('remove the rows of a permanently deleted connector from every set')
    .argument('<source>', 'name of the connector')
    .addHelpText('after', '\nExample:\n  muster source forget tenant-17')
    .addOption(jsonOption())
    .action(async (name: string, options: JsonOption) =>
      (await import('./source.ts')).forget(name, options),
    );
}
