/** Everything but printable ASCII, which a header holds as it is; and the escape itself, `~`. */
const UNSAFE = /[^ -}]/gu;

/**
 * Escapes a key so that it can stand in an HTTP header: of each character that is not safe there, every byte of
 * its UTF-8 form becomes `~` and two hexadecimal digits. Different keys stay different. Not percent-encoding,
 * which receivers of CloudEvents may or may not undo.
 *
 * `muster.header_safe` is the same function for events that SQL makes.
 */
export function headerSafe(key: string): string {
  return key.replace(UNSAFE, (char) =>
    Buffer.from(char).toString('hex').toUpperCase().replace(/../g, '~$&'),
  );
}

/**
 * Identifies a run: the same in every attempt of a revision, so that it can serve as an idempotency key
 * elsewhere, and safe in a header, where such keys are often sent.
 */
export function runIdOf(
  fn: string,
  { key, revision }: { readonly key: string; readonly revision: number },
): string {
  return `${fn}/${headerSafe(key)}/${revision}`;
}
