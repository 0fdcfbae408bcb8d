/** The command was used incorrectly: exit code 2. */
export class WrongUse extends Error {
  override readonly name = 'WrongUse';
}
