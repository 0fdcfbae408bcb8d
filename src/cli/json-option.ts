import { Option } from 'commander';

/** Returns the option that all commands share that print what they found or did. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object per line');
}
