/** What a KafkaSource, a Java program, leaves on the wire of Java's own habits. */

/** Entries as a HashMap hands them out: by bucket, within one by insertion. */
export function inHashMapOrder(entries: ReadonlyMap<string, string>): [string, string][] {
  let buckets = 16;
  while (entries.size > buckets * 0.75) buckets *= 2;
  const bucketOf = (key: string) => {
    const hash = hashCode(key);
    return (hash ^ (hash >>> 16)) & (buckets - 1);
  };
  return [...entries].toSorted(([a], [b]) => bucketOf(a) - bucketOf(b));
}

function hashCode(text: string): number {
  let hash = 0;
  for (let at = 0; at < text.length; at += 1) {
    hash = (Math.imul(31, hash) + text.charCodeAt(at)) | 0;
  }
  return hash;
}

/** As Java prints a time of RFC 3339: no zeros at the end of the fraction. */
export function printTime(time: string): string {
  return time.replace(/\.(\d*?)0*(?=Z|[+-]\d\d:\d\d$)/, (_, digits: string) =>
    digits === '' ? '' : `.${digits}`,
  );
}

/** A header's value: one byte for each UTF-16 unit, `?` where there is none. */
export function toLatin1(text: string): string {
  return text.replaceAll(/[\u0100-\uffff]/g, '?');
}
