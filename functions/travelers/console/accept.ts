/**
 * Which of these media types a request prefers (RFC 9110, 12.5.1); null if none will do. Of those it
 * likes alike the first one is taken.
 */
export function preferred<T extends string>(
  accept: string | undefined,
  offered: readonly T[],
): T | null {
  const ranges = (accept?.trim() || '*/*').split(',').map(readRange);
  let best: T | null = null;
  let most = 0;
  for (const type of offered) {
    const quality = qualityOf(type, ranges);
    if (quality > most) [best, most] = [type, quality];
  }
  return best;
}

interface Range {
  readonly type: string;
  readonly quality: number;
}

function readRange(text: string): Range {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase());
  const q = parameters.find((each) => each.startsWith('q='));
  const quality = q === undefined ? 1 : Number(q.slice(2));
  return { type, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** The most specific range that matches decides. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  for (const pattern of [type, type.replace(/\/.*/, '/*'), '*/*']) {
    const range = ranges.find((each) => each.type === pattern);
    if (range !== undefined) return range.quality;
  }
  return 0;
}
