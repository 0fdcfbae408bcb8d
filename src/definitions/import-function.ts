/** Imports `functions/<file>`. A module of its own because build/bundle.ts lets build/muster.js do it. */
export function importFunction(file: string): Promise<{ default?: unknown }> {
  return import(new URL(`../../functions/${file}`, import.meta.url).href) as Promise<{
    default?: unknown;
  }>;
}
