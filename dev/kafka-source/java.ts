/** Java's conventions that show in the requests of a KafkaSource, which is a Java program. */

/** Returns the entries in a HashMap's iteration order: by bucket, within a bucket by insertion. */
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

/** Formats an RFC 3339 time as Java does: without trailing zeros in the fraction. */
export function printTime(time: string): string {
  return time.replace(/\.(\d*?)0*(?=Z|[+-]\d\d:\d\d$)/, (_, digits: string) =>
    digits === '' ? '' : `.${digits}`,
  );
}

/** Encodes a header's value: one byte per UTF-16 unit, `?` if a unit does not fit into a byte. */
export function toLatin1(text: string): string {
  return text.replaceAll(/[\u0100-\uffff]/g, '?');
}
