import { type Command, Option } from 'commander';
import type { EventOptions, UnsentOptions } from './events.ts';
import { jsonOption } from './json-option.ts';

/** Commands about outgoing events; `discard` is where `discard events` goes. */
export function addEventCommands(program: Command, discard: Command): void {
  program
    .command('events')
    .description('list outgoing events that are not sent, with the reason, oldest first')
    .argument('[function]', 'only of this function')
    .addOption(new Option('--refused', 'refused by the sink for good').conflicts('waiting'))
    .addOption(new Option('--waiting', 'still to be sent'))
    .option('--limit <n>', 'maximum number of events', '50')
    .addOption(jsonOption())
    .addHelpText('after', '\nExample:\n  muster events orders --refused')
    .action(async (fn: string | undefined, options: UnsentOptions) =>
      (await import('./events.ts')).list(fn, options),
    );

  chosen(program.command('resend'))
    .description('send outgoing events again that the sink refused, once it takes them')
    .addHelpText('after', '\nExamples:\n  muster resend orders --all\n  muster resend orders 4711')
    .action(async (fn: string, key: string | undefined, options: EventOptions) =>
      (await import('./events.ts')).resend(fn, key, options),
    );

  chosen(discard.command('events'))
    .description('delete outgoing events that the sink refused, or one that still waits')
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
    .option('--event <id>', 'only this event of the set, by its id in `muster events`')
    .option('--all', 'every refused event of the function')
    .addOption(jsonOption());
}
