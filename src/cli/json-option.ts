import { Option } from 'commander';

/** The same of every command that prints data. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object per line');
}

export interface JsonOption {
  readonly json?: boolean;
}
