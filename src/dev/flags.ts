import { InvalidArgumentError } from 'commander';

/** For commander: a number above zero. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value)))
    throw new InvalidArgumentError('must be a number above 0');
  return value;
}

export const newSeed = () => Math.floor(Math.random() * 1_000_000);
