import { type Command, Option } from 'commander';
import type { EventOptions, UnsentOptions } from './events.ts';
import { jsonOption } from './json-option.ts';

/** Adds the commands for outgoing events; `discard events` goes below `discard`. */
export function addEventCommands(program: Command, discard: Command): void {
  program
    .command('events')
    .description('list unsent outgoing events with the reason, oldest first')
    .argument('[function]', 'only events of this function')
    .addOption(
      new Option('--refused', 'only events that the sink refused permanently').conflicts('waiting'),
    )
    .addOption(new Option('--waiting', 'only events that are still to be sent'))
    .option('--limit <n>', 'maximum number of events', '50')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster events orders --refused')
    .action(async (fn: string | undefined, options: UnsentOptions) =>
      (await import('./events.ts')).list(fn, options),
    );

  chosen(program.command('resend'))
    .description('send refused outgoing events again, once the sink accepts them')
    .addHelpText('after', '\nExamples:\n  muster resend orders --all\n  muster resend orders 4711')
    .action(async (fn: string, key: string | undefined, options: EventOptions) =>
      (await import('./events.ts')).resend(fn, key, options),
    );

  chosen(discard.command('events'))
    .description('delete refused outgoing events, or one that is still to be sent')
    .addHelpText(
      'after',
      '\nExamples:\n  muster discard events orders 4711\n  muster discard events orders 4711 --event orders/4711/1/0',
    )
    .action(async (fn: string, key: string | undefined, options: EventOptions) =>
      (await import('./events.ts')).discard(fn, key, options),
    );
}

function chosen(command: Command): Command {
  return command
    .argument('<function>', 'name of the function')
    .argument('[key]', 'key of the set; several columns as a JSON array')
    .option(
      '--event <id>',
      'only this event of the set, by its id in the output of `muster events`',
    )
    .option('--all', 'all refused events of the function')
    .addOption(jsonOption());
}
