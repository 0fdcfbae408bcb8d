/**
 * Returns the least text above another one in the order of its bytes, which is PostgreSQL's collation "C": where the
 * next page begins after a row. Pages that begin with `>= ''` miss nothing, not even the empty text.
 */
export function textAfter(text: string): string {
  return `${text}\u0001`;
}
