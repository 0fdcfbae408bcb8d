import { Option } from 'commander';

/** Returns the option that all commands share that print what they found or did. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object per line');
}

export interface JsonOption {
  readonly json?: boolean;
}

/** Prints what a command did: with --json the object on one line, otherwise the text. */
export function printResult({ json }: JsonOption, result: object, text: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(result) : text}\n`);
}
