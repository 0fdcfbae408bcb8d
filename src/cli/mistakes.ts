import type { Command } from 'commander';
import { WRONG_USE } from './run-command.ts';

/** Reports misuse of a command or its subcommands in one line, with exit code 2. */
export function reportMistakes(command: Command, name = command.name()): void {
  command
    .configureOutput({
      outputError: (text, write) => write(`muster: ${inOneLine(text)} (see ${name} --help)\n`),
    })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USE));
  for (const each of command.commands) reportMistakes(each, `${name} ${each.name()}`);
}

/** Commander writes `error: …`, and suggestions on a separate line in parentheses. */
function inOneLine(text: string): string {
  return text
    .trim()
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/s, '; did you mean $1?');
}
