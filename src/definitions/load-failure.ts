import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FUNCTIONS = new URL('../../functions/', import.meta.url).href;

/** Describes an error thrown by an import, with its source location if known: `functions/pair.ts:3: …`. */
export function loadFailure(error: unknown): string {
  if (!(error instanceof Error)) return `threw ${String(error)}`;
  const text = error instanceof SyntaxError ? error.message : `${error.name}: ${error.message}`;
  const place = placeOf(error.stack ?? '');
  return place === null ? text : `${place}: ${text}`;
}

/**
 * Finds the source location of an error. The stack of a syntax error begins with it; for other errors it is
 * the first frame within `functions/`.
 */
function placeOf(stack: string): string | null {
  const frames = [...stack.matchAll(/^ +at .*?(file:\/\/[^)]*?):(\d+):\d+\)?$/gm)];
  const [, file, line] =
    /^(\S.*?):(\d+)\n/.exec(stack) ?? frames.find(([, each]) => each!.startsWith(FUNCTIONS)) ?? [];
  if (file === undefined) return null;
  return `${relative(ROOT, file.startsWith('file:') ? fileURLToPath(file) : file)}:${line}`;
}
