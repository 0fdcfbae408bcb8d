/** Imports `functions/<file>`. build/bundle.ts replaces this module, so that build/muster.js does the import. */
export function importFunction(file: string): Promise<{ default?: unknown }> {
  return import(new URL(`../../functions/${file}`, import.meta.url).href) as Promise<{
    default?: unknown;
  }>;
}
