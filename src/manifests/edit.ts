/**
 * Replaces what a template says: a text the first time, a pattern as its flags say. Throws if it does not say it: the
 * manifest would be that of the template's function in this place.
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
