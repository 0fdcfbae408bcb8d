import type { Command } from 'commander';
import type { EpochOptions } from './epoch.ts';
import { jsonOption, type JsonOption } from './json-option.ts';

/** Adds the commands about the connectors that rows come from. */
export function addSourceCommands(program: Command): void {
  program
    .command('epoch')
    .description('the source database was restored or made anew: its log positions start over')
    .command('bump')
    .argument('<source>', "name of the connector (Debezium's topic.prefix)")
    .option(
      '--since <time>',
      'commit time of its first change; unless given, that of the first change parked for it',
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
    .description('the connectors that rows came from: each has rows of its own, by its name');

  source
    .command('list')
    .description('list them, with the newest position seen of each')
    .addOption(jsonOption())
    .action(async (options: JsonOption) => (await import('./source.ts')).list(options));

  source
    .command('replace')
    .description('a connector was renamed, or one of another name reads the same database now')
    .argument('<old>', 'name of the connector that is gone')
    .argument('<new>', 'name of the one that took its place')
    .addHelpText('after', '\nExample:\n  muster source replace postgres postgres-18')
    .addOption(jsonOption())
    .action(async (old: string, successor: string, options: JsonOption) =>
      (await import('./source.ts')).replace(old, successor, options),
    );

  source
    .command('forget')
    .description('take the rows of a connector that is gone for good out of every set')
    .argument('<source>', 'name of the connector')
    .addHelpText('after', '\nExample:\n  muster source forget tenant-17')
    .addOption(jsonOption())
    .action(async (name: string, options: JsonOption) =>
      (await import('./source.ts')).forget(name, options),
    );
}
