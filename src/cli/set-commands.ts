import { type Command, Option } from 'commander';
import { jsonOption } from './json-option.ts';
import type { JsonOption } from './print-result.ts';
import type { RetryOptions } from './retry.ts';
import type { SetsOptions } from './sets.ts';

/** Adds the commands for functions and their sets. */
export function addSetCommands(program: Command): void {
  program
    .command('explain')
    .description('show what is known of one set, and why it did or did not run')
    .argument('<function>', 'name of the function')
    .argument('<key>', 'key of the set; several columns as a JSON array')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `\nExample:\n  muster explain recordings '["0193b000-0000-7000-8000-00000000000b","[0,60000000000)"]'`,
    )
    .action(async (fn: string, key: string, options: JsonOption) =>
      (await import('./explain.ts')).run(fn, key, options),
    );

  program
    .command('sets')
    .description(
      'list sets with their state, since when, and what is missing: oldest first, done sets last',
    )
    .argument('[function]', 'only sets of this function')
    .addOption(
      new Option('--waiting', 'only sets that are not complete yet').conflicts([
        'overdue',
        'failed',
      ]),
    )
    .addOption(
      new Option('--overdue', 'only sets that were not complete in time').conflicts([
        'waiting',
        'failed',
      ]),
    )
    .addOption(
      new Option('--failed', 'only sets whose run has failed').conflicts(['waiting', 'overdue']),
    )
    .option('--limit <n>', 'maximum number of sets', '50')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
As JSON: {function, key, status, overdue, since, overdueSince, missing: [{part, have, need}], attempt, error}.

Examples:
  muster sets recordings --failed
  muster sets --overdue --json`,
    )
    .action(async (fn: string | undefined, options: SetsOptions) =>
      (await import('./sets.ts')).run(fn, options),
    );

  program
    .command('retry')
    .description('run failed sets again: one, or all of a function')
    .argument('<function>', 'name of the function')
    .argument('[key]', 'key of the set; several columns as a JSON array')
    .option('--all', 'all such sets of the function')
    .option(
      '--now',
      'start the next attempt of sets in back-off now, instead of retrying failed sets',
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muster retry recordings --all\n  muster retry orders 4711\n  muster retry orders 4711 --now',
    )
    .action(async (fn: string, key: string | undefined, options: RetryOptions) =>
      (await import('./retry.ts')).run(fn, key, options),
    );

  addFunctionCommands(program);
}

function addFunctionCommands(program: Command): void {
  program
    .command('resynced')
    .description('record that the source has sent all rows of new or changed parts again')
    .argument('<function>', 'name of the function')
    .argument('[part]', 'only this part')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster resynced orders payment')
    .action(async (fn: string, part: string | undefined, options: JsonOption) =>
      (await import('./resynced.ts')).run(fn, part, options),
    );

  program
    .command('pause')
    .description(
      'stop starting runs of a function while still ingesting events; stop reading records of a projection',
    )
    .argument('<function>', 'name of the function')
    .addOption(jsonOption())
    .action(async (fn: string, options: JsonOption) =>
      (await import('./pause.ts')).run(fn, true, options),
    );

  program
    .command('resume')
    .description('resume a paused function')
    .argument('<function>', 'name of the function')
    .addOption(jsonOption())
    .action(async (fn: string, options: JsonOption) =>
      (await import('./pause.ts')).run(fn, false, options),
    );
}
