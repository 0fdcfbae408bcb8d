/** Maximum length of the text of a thrown value that is not an error. */
const MAX_TEXT = 200;

/**
 * Returns the message of an error, or its code if the message is empty, as after trying several addresses.
 * Never throws: a thrown value may be anything.
 */
export function errorText(error: unknown): string {
  return orNoText(error, () => {
    if (!(error instanceof Error)) return String(error);
    return error.message || ((error as { code?: string }).code ?? error.name);
  });
}

/**
 * Returns the name and message of an error for a log. Errors of Postgres about a value (SQLSTATE class 22) and
 * those of JSON.parse quote the invalid value, so only their kind is returned.
 */
export function redactedErrorText(error: unknown): string {
  return orNoText(error, () => {
    if (!(error instanceof Error)) return String(error).slice(0, MAX_TEXT);
    const { code } = error as { code?: unknown };
    if (error instanceof SyntaxError) return `${error.name}: not readable`;
    if (typeof code === 'string' && /^22\w{3}$/.test(code)) {
      return `${error.name}: SQLSTATE ${code}`;
    }
    return `${error.name}: ${error.message}`;
  });
}

/** Returns the frames of an error's stack, without its message; undefined if it has no stack. Never throws. */
export function framesOf(error: unknown): string[] | undefined {
  try {
    if (!(error instanceof Error) || typeof error.stack !== 'string') return undefined;
    const { stack, message } = error;
    const begin = stack.indexOf(message); // a message may have lines that look like frames
    const frames = begin < 0 ? stack : stack.slice(begin + message.length);
    return frames.split('\n').flatMap((line) => (/^\s+at /.test(line) ? [line.trim()] : []));
  } catch {
    return undefined;
  }
}

/** Returns the text, or a substitute if the value's own properties or conversions throw. */
function orNoText(value: unknown, toText: () => string): string {
  try {
    return toText();
  } catch {
    return `a value of type ${typeof value} without a text form`;
  }
}
