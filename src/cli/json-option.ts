import { Option } from 'commander';

/** The same option of every command that prints what it found or did. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object per line');
}

export interface JsonOption {
  readonly json?: boolean;
}

/** Prints what a command did: the object as one line of JSON where that is asked for, else the text. */
export function printResult({ json }: JsonOption, result: object, text: string): void {
  process.stdout.write(`${json === true ? JSON.stringify(result) : text}\n`);
}
