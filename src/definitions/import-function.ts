import { functionsFolder } from './function-files.ts';

/** Imports a function's file. build/bundle.ts replaces this module, so that build/launcher.js does the import. */
export function importFunction(file: string): Promise<{ default?: unknown }> {
  return import(new URL(file, functionsFolder()).href) as Promise<{ default?: unknown }>;
}
