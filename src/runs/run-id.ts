/** Characters that a header can't contain unchanged (all but printable ASCII), and the escape character `~`. */
const UNSAFE = /[^ -}]/gu;

/**
 * Escapes a key for an HTTP header: each byte of the UTF-8 form of an unsafe character becomes `~` and two
 * hexadecimal digits. Different keys stay different. It is not percent-encoding, because receivers of
 * CloudEvents may or may not decode that.
 *
 * `muster.header_safe` does the same for events that SQL statements create.
 */
export function headerSafe(key: string): string {
  return key.replace(UNSAFE, (char) =>
    Buffer.from(char).toString('hex').toUpperCase().replace(/../g, '~$&'),
  );
}

/**
 * Returns the id of a run. It is the same in every attempt of a revision, so that it can serve as an
 * idempotency key elsewhere, and safe in a header, where such keys are often sent.
 */
export function runIdOf(
  fn: string,
  { key, revision }: { readonly key: string; readonly revision: number },
): string {
  return `${fn}/${headerSafe(key)}/${revision}`;
}
