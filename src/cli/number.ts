import { WrongUse } from './wrong-use.ts';

/** A whole number from the command line. */
export function wholeNumber(
  name: string,
  text: string,
  least = 1,
  most = Number.MAX_SAFE_INTEGER,
): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  const range =
    number > most ? `from ${least} to ${most}` : least === 0 ? '' : `of ${least} or more`;
  throw new WrongUse(`${name} must be a whole number ${range}`.trim() + `, not '${text}'`);
}

/** Says that a list may have been cut. */
export function sayLimit(listed: number, limit: number): void {
  if (listed === limit) process.stderr.write(`there may be more: --limit ${2 * limit}\n`);
}
