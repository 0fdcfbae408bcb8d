import type { PartSpecification } from '../../definitions/part-specification.ts';
import type { Specification } from '../../definitions/specification.ts';
import { recordTopicsOf, tablesOf } from '../../definitions/streams.ts';

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
export function tablesOfAll(functions: readonly Checked[]): string[] {
  return tablesOf([{ parts: partsOf(functions) }]).toSorted();
}

/** Returns the topics that projections and parts read. */
export function topicsReadBy(functions: readonly Checked[]): string[] {
  return functions.flatMap((each) => ('topic' in each ? [each.topic] : recordTopicsOf([each])));
}
