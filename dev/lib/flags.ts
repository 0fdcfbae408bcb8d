import { type Command, InvalidArgumentError } from 'commander';

/** Exit code of a wrong call, as of `muster`. */
export const WRONG_USE = 2;

/** For a command of which a wrong flag ends with exit code 2 and tells how to find the right ones. */
export function endsWrongUse(command: Command): Command {
  return command
    .showHelpAfterError('(--help lists all flags)')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USE));
}

/** For commander: a number above zero. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError('It must be a number above 0.');
  }
  return value;
}

/** For commander: a whole number from `least` on. */
export const whole = (least: number) => (text: string) => {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least) {
    throw new InvalidArgumentError(`It must be a whole number from ${least} to 999999999.`);
  }
  return Number(text);
};

/** For commander: a TCP port that can be given to somebody else. */
export function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) {
    throw new InvalidArgumentError('A port is a whole number from 1 to 65535.');
  }
  return value;
}

export const newSeed = () => Math.floor(Math.random() * 1_000_000);
