import type { Command } from 'commander';
import type { InitOptions } from './init.ts';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';
import { endSoon } from './end.ts';
import type { DevCommandOptions } from './dev.ts';

/** Adds the commands for one's own repository. */
export function addProjectCommands(program: Command): void {
  program
    .command('init')
    .description('create a project with a function, its test and an image; existing files are kept')
    .argument('[folder]', 'folder of the project', '.')
    .option('--yes', 'ask nothing')
    .addOption(jsonOption())
    .option('--package <source>', 'version or file of musterjs; by default this version')
    .addHelpText(
      'after',
      '\nExample:\n  muster init orders && cd orders && npm install && npm test',
    )
    .action(async (folder: string, options: InitOptions) =>
      (await import('./init.ts')).run(folder, options),
    );

  program
    .command('dev')
    .description('run the functions beside your code: a PostgreSQL, reload on save, the console')
    .option('--database-url <url>', 'database to use instead of an embedded one; it is migrated')
    .option(
      '--source <url>',
      'database whose tables are followed, by logical replication; by default the embedded one',
    )
    .option(
      '--kafka <brokers>',
      'Kafka whose topics are read instead, as host:port, separated by commas',
    )
    .option(
      '--topic-prefix <prefix>',
      'the topics of --kafka are <prefix>.<schema>.<table>; by default those of TOPIC',
    )
    .option('--sql <file>', 'SQL that creates tables in the embedded database when that is new')
    .option('--port <port>', 'port that receives events', '8080')
    .option('--console-port <port>', 'port of the console', '8081')
    .addHelpText(
      'after',
      '\nExamples:\n  muster dev --port 8090\n  muster dev --kafka localhost:9092 --topic-prefix shop',
    )
    .action(async (options: DevCommandOptions) => (await import('./dev.ts')).run(options));

  program
    .command('check')
    .description('load the functions, and report every problem of their definitions')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster check --functions lib/functions')
    .action(async (options: JsonOption) => {
      await (await import('./check.ts')).run(options);
      endSoon();
    });
}
