import { WrongUse } from './wrong-use.ts';

/** A whole number of 1 or more from the command line. */
export function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text))
    throw new WrongUse(`${name} must be a whole number of 1 or more, not '${text}'`);
  return Number(text);
}
