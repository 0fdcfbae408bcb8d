import { type Command, InvalidArgumentError } from 'commander';

/** The exit code for incorrect usage, as in `muster`. */
export const WRONG_USE = 2;

/** Makes a command exit with code 2 on incorrect usage and point to its help. */
export function endsWrongUse(command: Command): Command {
  return command
    .showHelpAfterError('(--help lists all flags)')
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : WRONG_USE));
}

/** Parses a number above zero for commander. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) {
    throw new InvalidArgumentError('It must be a number above 0.');
  }
  return value;
}

/** Returns a parser for commander that accepts whole numbers of at least `least`. */
export const whole = (least: number) => (text: string) => {
  if (!/^\d{1,9}$/.test(text) || Number(text) < least) {
    throw new InvalidArgumentError(`It must be a whole number from ${least} to 999999999.`);
  }
  return Number(text);
};

/** Parses a TCP port for commander. */
export function port(text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > 65_535) {
    throw new InvalidArgumentError('A port is a whole number from 1 to 65535.');
  }
  return value;
}

export const newSeed = () => Math.floor(Math.random() * 1_000_000);
