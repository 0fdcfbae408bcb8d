/** A whole number of 1 or more from the command line. */
export function wholeNumber(name: string, text: string): number {
  if (!/^[1-9]\d*$/.test(text))
    throw new Error(`${name} must be a whole number of 1 or more, not '${text}'`);
  return Number(text);
}
