import type { Command } from 'commander';
import { WRONG_USE } from './run-command.ts';

/** Answers a wrong call of a command, or of one below it, in one line with exit code 2. */
export function reportMistakes(command: Command, name = command.name()): void {
  command
    .configureOutput({
      outputError: (text, write) =>
        write(`muster: ${inOneLine(text)} (${name} --help shows how)\n`),
    })
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USE));
  for (const each of command.commands) reportMistakes(each, `${name} ${each.name()}`);
}

/** Commander writes `error: …` and puts what may be meant on a line of its own, in parentheses. */
function inOneLine(text: string): string {
  return text
    .trim()
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/s, '; did you mean $1?');
}
