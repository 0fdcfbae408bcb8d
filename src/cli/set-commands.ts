import { type Command, Option } from 'commander';
import { jsonOption, type JsonOption } from './json-option.ts';
import type { RetryOptions } from './retry.ts';
import type { SetsOptions } from './sets.ts';

/** Adds the commands about functions and their sets. */
export function addSetCommands(program: Command): void {
  program
    .command('explain')
    .description('what is known of one set, and why it did or did not run')
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
      'list sets with their state, since when they are in it, and what is missing: oldest first, those that are done last',
    )
    .argument('[function]', 'only of this function')
    .addOption(new Option('--waiting', 'not complete yet').conflicts(['overdue', 'failed']))
    .addOption(new Option('--overdue', 'not complete in time').conflicts(['waiting', 'failed']))
    .addOption(new Option('--failed', 'the handler gave up').conflicts(['waiting', 'overdue']))
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
    .argument('[key]', 'key of the set')
    .option('--all', 'every such set of the function')
    .option('--now', 'instead of failed sets those in back-off: start the next attempt at once')
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
    .description('note that the source has sent all rows of new or changed parts again')
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
      'start no more runs of a function, while events are still taken and sets completed; of a projection, read no more records',
    )
    .argument('<function>', 'name of the function')
    .addOption(jsonOption())
    .action(async (fn: string, options: JsonOption) =>
      (await import('./pause.ts')).run(fn, true, options),
    );

  program
    .command('resume')
    .description('let a paused function go on')
    .argument('<function>', 'name of the function')
    .addOption(jsonOption())
    .action(async (fn: string, options: JsonOption) =>
      (await import('./pause.ts')).run(fn, false, options),
    );
}
