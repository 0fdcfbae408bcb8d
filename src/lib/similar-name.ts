import leven from 'leven';

/**
 * Returns the known name that a name was probably meant to be: one that differs in case or separators, lacks the
 * first or the last words of the other, or has up to two other letters in the words in which they differ. Null if
 * there is none: names of types and tables have long prefixes in common, so that most are alike.
 */
export function similarName(name: string, known: readonly string[]): string | null {
  const others = known.filter((each) => each !== name);
  return (
    others.find((each) => letters(each) === letters(name)) ??
    others.find((each) => hasWordsOf(each, name) || hasWordsOf(name, each)) ??
    others
      .map((each) => ({ each, distance: distance(each, name) }))
      .toSorted((a, b) => a.distance - b.distance)
      .find((one) => one.distance < Infinity)?.each ??
    null
  );
}

function letters(name: string): string {
  return name.toLowerCase().replaceAll(/[\s._/:-]/g, '');
}

/** Whether one name is the other with further words before or after it. */
function hasWordsOf(long: string, short: string): boolean {
  return long.endsWith(`.${short}`) || long.startsWith(`${short}.`);
}

/** Returns in how many letters names differ; infinity if they are not alike. */
function distance(one: string, other: string): number {
  const ours = one.split('.');
  const theirs = other.split('.');
  while (ours.length > 1 && ours[0] === theirs[0] && theirs.length > 1) {
    ours.shift();
    theirs.shift();
  }
  const [rest, otherRest] = [ours.join('.'), theirs.join('.')];
  const most = Math.min(2, Math.floor(Math.max(rest.length, otherRest.length) / 2));
  const found = leven(rest, otherRest, { maxDistance: most + 1 });
  return found <= most ? found : Infinity;
}

/** Returns a question to append to a message about an unknown name; empty if no known name is similar. */
export function didYouMean(name: string, known: readonly string[]): string {
  const similar = similarName(name, known);
  return similar === null ? '' : `; did you mean ${similar}?`;
}
