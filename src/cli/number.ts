import { WrongUse } from './wrong-use.ts';

/** Parses a whole number from the command line. */
export function wholeNumber(
  name: string,
  text: string,
  min = 1,
  max = Number.MAX_SAFE_INTEGER,
): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= min && number <= max) return number;
  const range = number > max ? `from ${min} to ${max}` : min === 0 ? '' : `of ${min} or more`;
  throw new WrongUse(`${name} must be a whole number ${range}`.trim() + `, not '${text}'`);
}

/** Notes on standard error that a list may have been cut off. */
export function noteLimit(listed: number, limit: number): void {
  if (listed === limit) process.stderr.write(`there may be more: --limit ${2 * limit}\n`);
}
