import { relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { functionsFolder, inFunctions } from './function-files.ts';

/** Describes an error thrown by an import, with its source location if known: `functions/pair.ts:3: …`. */
export function loadFailure(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const text = error instanceof SyntaxError ? error.message : `${error.name}: ${error.message}`;
  const place = placeOf(error.stack ?? '');
  return place === null ? text : `${place}: ${text}`;
}

/**
 * Finds the source location of an error. The stack of a syntax error begins with it; for other errors it is
 * the first frame within the folder of the functions.
 */
function placeOf(stack: string): string | null {
  const folder = functionsFolder();
  const frames = [...stack.matchAll(/^ +at .*?(file:\/\/[^)]*?):(\d+):\d+\)?$/gm)];
  const [, file, line] =
    /^(\S.*?):(\d+)\n/.exec(stack) ??
    frames.find(([, each]) => each!.startsWith(folder.href)) ??
    [];
  if (file === undefined) return null;
  const path = file.startsWith('file:') ? fileURLToPath(file) : file;
  const within = relative(fileURLToPath(folder), path);
  return `${within.startsWith(`..${sep}`) ? relative(process.cwd(), path) : inFunctions(within)}:${line}`;
}
