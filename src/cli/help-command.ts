import type { Command } from 'commander';

/** Adds `muster help [command...]`. Commander's own would print the whole help for an unknown command. */
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
          // called with this name, the command reports the mistake and suggests similar names
          await command.parseAsync([name], { from: 'user' });
          return;
        }
        command = next;
      }
      command.outputHelp();
    });
}
