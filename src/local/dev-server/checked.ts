import type { PartSpecification, Specification } from '../../definitions/specification.ts';

/** What `muster check --json` prints about a function. */
export type Checked =
  | ({ readonly function: string } & Specification)
  | { readonly function: string; readonly topic: string };

/** Reads the output of `muster check --json`; a function may print, too, when it is loaded. */
export function readChecked(stdout: string): Checked[] {
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{"function":'))
    .map((line) => JSON.parse(line) as Checked);
}

/** Returns the parts of all set functions. */
export function partsOf(functions: readonly Checked[]): PartSpecification[] {
  return functions.flatMap((each) => ('topic' in each ? [] : each.parts));
}

/** Returns the tables of all parts, each once. */
export function tablesOf(functions: readonly Checked[]): string[] {
  return [...new Set(partsOf(functions).map(({ table }) => table))].toSorted();
}
