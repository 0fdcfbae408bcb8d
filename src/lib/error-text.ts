/** Longest text of a thrown value that is no error. */
const MAX_TEXT = 200;

/**
 * The message of an error, or its code where it has none, as one has that stands for several addresses
 * which were all tried. Never throws: a thrown value may be anything.
 */
export function errorText(error: unknown): string {
  return orNoText(error, () => {
    if (!(error instanceof Error)) return String(error);
    return error.message || ((error as { code?: string }).code ?? error.name);
  });
}

/**
 * The name and message of an error, for a log. Errors of Postgres about a value (SQLSTATE class 22) and
 * those of JSON.parse quote the value that they could not read: of these only the kind is given.
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

/** The text, or a substitute where the value's own properties or conversions throw. */
function orNoText(value: unknown, toText: () => string): string {
  try {
    return toText();
  } catch {
    return `a value of type ${typeof value} without a text form`;
  }
}
