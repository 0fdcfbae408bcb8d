/** Returns a key as it is stored; a JSON array may be given with spaces. */
export function keyText(key: string): string {
  const values = keyValues(key);
  return values === null ? key : JSON.stringify(values);
}

/** Returns the values of a key that is given as a JSON array; null if it is not one. */
export function keyValues(key: string): readonly unknown[] | null {
  try {
    const values: unknown = JSON.parse(key);
    return Array.isArray(values) ? values : null;
  } catch {
    return null;
  }
}
