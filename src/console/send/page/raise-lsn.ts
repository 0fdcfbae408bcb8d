/**
 * Raises `source.lsn` by one in the text of a message, so that the next one is a later change of its row. Leaves the
 * text alone, and returns false, unless it is clear which number that is.
 */
export function raiseLsn(text: HTMLTextAreaElement): boolean {
  const lsn = lsnOf(text.value);
  if (lsn === null || !Number.isSafeInteger(lsn)) return false;
  const found = [...text.value.matchAll(/("lsn"\s*:\s*)(\d+)/g)];
  const [only] = found;
  if (only === undefined || found.length > 1 || only[2] !== String(lsn)) return false;
  const start = only.index + only[1]!.length;
  text.setRangeText(String(lsn + 1), start, start + only[2].length, 'preserve');
  return true;
}

function lsnOf(text: string): number | null {
  try {
    const { source } = JSON.parse(text) as { source?: { lsn?: unknown } };
    return typeof source?.lsn === 'number' ? source.lsn : null;
  } catch {
    return null;
  }
}
