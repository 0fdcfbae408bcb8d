/**
 * Replaces texts of a template, each where it first occurs, or where a pattern matches. Throws if a text does not
 * occur: a manifest that silently keeps what the template says would be wrong.
 */
export function edit(
  template: string,
  ...changes: readonly (readonly [from: string | RegExp, to: string])[]
): string {
  return changes.reduce((text, [from, to]) => {
    const isThere = typeof from === 'string' ? text.includes(from) : text.search(from) >= 0;
    if (!isThere) throw new Error(`the template of a manifest lacks ${String(from)}`);
    // names of tables may contain a dollar sign
    return typeof from === 'string' ? text.replace(from, () => to) : text.replace(from, to);
  }, template);
}
