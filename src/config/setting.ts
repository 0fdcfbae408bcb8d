/** One environment variable: what the README's table shows is read from here. */
export interface Setting {
  readonly meaning: string;
  /** As it would stand in the environment; null = nothing is set. */
  readonly fallback: string | null;
  /** Its value is never said. */
  readonly secret?: true;
  readonly read: (text: string) => unknown;
}

/** A value that can't be used, with what would do. */
export class Wrong extends Error {}

export const text = (value: string) => value;
export const url =
  (...protocols: string[]) =>
  (value: string) => {
    const parsed = URL.canParse(value) ? new URL(value) : null;
    if (parsed === null || !protocols.includes(parsed.protocol)) {
      throw new Wrong(
        `must be a URL that begins with ${protocols.map((each) => `${each}//`).join(' or ')}`,
      );
    }
    if (parsed.username !== '' && parsed.protocol.startsWith('http')) {
      throw new Wrong('must not hold a user: no request can be made to such a URL');
    }
    return value;
  };
export const count = (least: number, most: number) => (value: string) => {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new Wrong(`must be a whole number from ${least} to ${most}`);
  }
  return number;
};
export const oneOf =
  <const T extends string>(...values: T[]) =>
  (value: string): T => {
    if (!values.includes(value as T)) throw new Wrong(`must be one of ${values.join(', ')}`);
    return value as T;
  };
/** Separated by commas, each of them of this form. */
export const listOf = (what: string, form: RegExp) => (value: string) => {
  const list = value.split(',').map((each) => each.trim());
  if (list.some((each) => !form.test(each))) {
    throw new Wrong(`must be ${what}, separated by commas`);
  }
  return list;
};
export const matching = (what: string, form: RegExp) => (value: string) => {
  if (!form.test(value)) throw new Wrong(`must be ${what}`);
  return value;
};
/** Attributes that Muster gives each event a value of its own for; `data` is no attribute, but a member in JSON. */
const TAKEN = new Set(
  'id source specversion type datacontenttype dataschema subject time data traceparent tracestate'.split(
    ' ',
  ),
);
/** Nothing that the type String of CloudEvents excludes: control characters. */
const TEXT = /^\P{Cc}+$/u;

/**
 * Extensions as a SinkBinding sets them. Whatever would make an event invalid is refused here, at the start:
 * later it would be each event.
 */
export const extensions = (value: string): Record<string, string> => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new Wrong('must be JSON');
  }
  const given = (parsed as { extensions?: unknown } | null)?.extensions ?? {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new Wrong('must be {"extensions": {"name": "text"}}');
  }
  for (const [name, each] of Object.entries(given) as [string, unknown][]) {
    const what = `must be {"extensions": {"name": "text"}}: '${name}'`;
    if (!/^[a-z0-9]+$/.test(name)) {
      throw new Wrong(`${what} is no name of lower-case letters and digits`);
    }
    if (TAKEN.has(name)) throw new Wrong(`${what} is an attribute that Muster sets itself`);
    if (typeof each !== 'string' || !TEXT.test(each) || !each.isWellFormed()) {
      throw new Wrong(`${what} must be a text that is not empty and has no control characters`);
    }
  }
  return given as Record<string, string>;
};
