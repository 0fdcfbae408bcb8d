#!/usr/bin/env node
import { Command } from 'commander';
import { VERSION } from '../lib/version.ts';
import { addDiscardCommands } from './discard-commands.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addEventCommands } from './event-commands.ts';
import { addIntakeCommands } from './intake-commands.ts';
import { addHelpCommand } from './help-command.ts';
import { jsonOption, type JsonOption } from './json-option.ts';
import { reportMistakes } from './mistakes.ts';
import { addProjectionCommands } from './projection-commands.ts';
import { runCommand } from './run-command.ts';
import { addSetCommands } from './set-commands.ts';
import { addSourceCommands } from './source-commands.ts';

const program = new Command('muster')
  .description('Runs your function once the whole set has arrived.')
  .version(VERSION, '-V, --version', 'print the version of this release')
  .addHelpText(
    'after',
    '\nThe environment configures it; the README has the table. Every command but send and tail needs DATABASE_URL.',
  );

program
  .command('serve')
  .description('take events and run handlers until SIGTERM')
  .action(async () => (await import('./serve.ts')).run());

program
  .command('console')
  .description('serve the API and the pages for people until SIGTERM; it only reads')
  .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… PORT=8081 muster console')
  .action(async () => (await import('./console.ts')).run());

program
  .command('migrate')
  .description('bring the state database to this release and make its definitions the newest')
  .addOption(jsonOption())
  .addHelpText('after', '\nExample:\n  DATABASE_URL=postgres://… muster migrate')
  .action(async (options: JsonOption) => (await import('./migrate.ts')).run(options));

addSetCommands(program);
addProjectionCommands(program);
addIntakeCommands(program);

/** Each kind of thing that waits for a person has a command of its own below `muster discard`. */
const discard = program.command('discard').description('give up for good what waits for a person');
addDiscardCommands(discard);
addEventCommands(program, discard);

addDoctorCommand(program);
addSourceCommands(program);
addHelpCommand(program);
reportMistakes(program);

await runCommand(() => program.parseAsync());
