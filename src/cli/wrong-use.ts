/** The command was used incorrectly: exit code 2. */
export class WrongUse extends Error {
  override readonly name = 'WrongUse';
}

/** Requires either the key of a set or `--all`. */
export function requireKeyOrAll(key: string | undefined, all: boolean): void {
  if (key === undefined && !all) throw new WrongUse('specify the key of a set, or --all');
  if (key !== undefined && all) throw new WrongUse('specify the key of a set or --all, not both');
}
