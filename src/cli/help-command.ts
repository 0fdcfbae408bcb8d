import type { Command } from 'commander';

/** Adds `muster help [command...]`. Commander's own prints the whole help for a command that does not exist. */
export function addHelpCommand(program: Command): void {
  program
    .command('help')
    .description('print the help of a command')
    .argument('[command...]', 'name of the command')
    .action(async (names: readonly string[]) => {
      let command = program;
      for (const name of names) {
        const next = command.commands.find((each) => each.name() === name);
        if (next === undefined) {
          // called with that name, it says itself what may be meant
          await command.parseAsync([name], { from: 'user' });
          return;
        }
        command = next;
      }
      command.outputHelp();
    });
}
