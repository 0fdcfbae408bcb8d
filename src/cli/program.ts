import { Command } from 'commander';
import { VERSION } from '../lib/version.ts';
import { addDeploymentCommands } from './deployment-commands.ts';
import { addDiscardCommands } from './discard-commands.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { endSoon } from './end.ts';
import { addEventCommands } from './event-commands.ts';
import { addIntakeCommands } from './intake-commands.ts';
import { addHelpCommand } from './help-command.ts';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';
import { reportMistakes } from './mistakes.ts';
import { addProjectCommands } from './project-commands.ts';
import { addProjectionCommands } from './projection-commands.ts';
import { addReconcileCommand } from './reconcile-command.ts';
import { addSetCommands } from './set-commands.ts';
import { addSourceCommands } from './source-commands.ts';

/** Creates the command line: all commands with their options, and what each of them does. */
export function createProgram(): Command {
  const program = new Command('muster')
    .description('Runs your function once the whole set has arrived.')
    .version(VERSION, '-V, --version', 'print the version')
    .option('--functions <folder>', 'folder with the functions (default: ./functions)')
    .hook('preAction', (command) => {
      const { functions } = command.opts<{ functions?: string }>();
      if (functions !== undefined) process.env['FUNCTIONS_FOLDER'] = functions;
    })
    .addHelpText(
      'after',
      '\nMuster is configured by environment variables, listed in docs/configuration.md. Every command except those for a project (init, dev, check, build, manifests), send and tail needs DATABASE_URL.',
    );

  addProcessCommands(program);
  addProjectCommands(program);
  addDeploymentCommands(program);
  addSetCommands(program);
  addProjectionCommands(program);
  addIntakeCommands(program);

  /** Parent of one subcommand for each kind of thing that waits for an operator. */
  const discard = program
    .command('discard')
    .description(
      'permanently discard parked events, counts of ignored ones, failed runs or outgoing events',
    );
  addDiscardCommands(discard);
  addEventCommands(program, discard);

  addDoctorCommand(program);
  addReconcileCommand(program);
  addSourceCommands(program);
  addHelpCommand(program);
  reportMistakes(program);
  return program;
}

/** Adds the commands for processes, and for the migration that comes before them. */
function addProcessCommands(program: Command): void {
  program
    .command('serve')
    .description('ingest events and run handlers until SIGTERM')
    .action(async () => (await import('./serve.ts')).run());

  program
    .command('console')
    .description('serve the read-only API and web pages until SIGTERM')
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… PORT=8081 muster console')
    .action(async () => (await import('./console.ts')).run());

  program
    .command('migrate')
    .description(
      'migrate the state database to this release and register its definitions as the newest',
    )
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… muster migrate')
    .action(async (options: JsonOption) => {
      await (await import('./migrate.ts')).run(options);
      endSoon();
    });
}
