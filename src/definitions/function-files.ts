import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { DefinitionError } from './fields.ts';

/** A function's file: `<name>.ts`, `<name>.js`, or `index.ts` or `index.js` in a folder of its name. */
const FILES = (name: string) => [
  `${name}.ts`,
  `${name}.js`,
  `${name}/index.ts`,
  `${name}/index.js`,
];

/**
 * URL of the folder with the functions, with a slash at its end: FUNCTIONS_FOLDER, by default `functions` in the
 * working directory. It is one for the process, as the code that it loads is.
 */
export function functionsFolder(): URL {
  const folder = process.env['FUNCTIONS_FOLDER']?.trim() || 'functions';
  return new URL(`${pathToFileURL(resolve(folder)).href}/`);
}

/** Returns how messages name a file of that folder: `functions/<file>`. */
export function inFunctions(file: string): string {
  return `${basename(fileURLToPath(functionsFolder()))}/${file}`;
}

/** Names of all functions, sorted. */
export function knownFunctions(): string[] {
  return [...functionFiles().keys()].toSorted();
}

/**
 * Files of the functions, relative to their folder, by function name. Files with a second dot in their names, such as
 * `orders.test.ts`, are none. Throws if two files define the same function.
 */
export function functionFiles(): Map<string, string> {
  const folder = functionsFolder();
  const files = new Map<string, string>();
  if (!existsSync(folder)) return files;
  const names = readdirSync(folder).flatMap(
    (entry) => /^([^.]+)(?:\.[jt]s)?$/.exec(entry)?.[1] ?? [],
  );
  for (const name of new Set(names)) {
    const found = FILES(name).filter((file) => isFile(new URL(file, folder)));
    if (found.length > 1) {
      throw new DefinitionError(inFunctions(name), [
        `both ${found.join(' and ')} define it: keep one`,
      ]);
    }
    if (found[0] !== undefined) files.set(name, found[0]);
  }
  return files;
}

function isFile(url: URL): boolean {
  return statSync(url, { throwIfNoEntry: false })?.isFile() ?? false;
}
