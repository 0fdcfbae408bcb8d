/** One environment variable. docs/configuration.md is checked against these properties. */
export interface Setting {
  readonly description: string;
  /** Default, as it would be written in the environment; null if there is none. */
  readonly fallback: string | null;
  /** Keeps the value out of every message. */
  readonly secret?: true;
  /** Parses a value; throws {@link InvalidValue}. */
  readonly read: (text: string) => unknown;
}

/** Thrown for an invalid value. The message states what the value must be, and follows the variable's name. */
export class InvalidValue extends Error {}

/** Any text. */
export const text = (value: string) => value;
/** A URL with one of these protocols, each written as in `https:`. */
export const url =
  (...protocols: string[]) =>
  (value: string) => {
    const parsed = URL.canParse(value) ? new URL(value) : null;
    if (parsed === null || !protocols.includes(parsed.protocol)) {
      throw new InvalidValue(
        `must be a URL that begins with ${protocols.map((each) => `${each}//`).join(' or ')}`,
      );
    }
    if (parsed.username !== '' && parsed.protocol.startsWith('http')) {
      throw new InvalidValue('must not contain a user name: no request can be made to such a URL');
    }
    return value;
  };
/** A whole number from `min` to `max`. */
export const count = (min: number, max: number) => (value: string) => {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < min || number > max) {
    throw new InvalidValue(`must be a whole number from ${min} to ${max}`);
  }
  return number;
};
/** One of these values. */
export const oneOf =
  <const T extends string>(...values: T[]) =>
  (value: string): T => {
    if (!values.includes(value as T)) throw new InvalidValue(`must be one of ${values.join(', ')}`);
    return value as T;
  };
/** Items separated by commas, each of which matches `form`; `what` describes them in a message. */
export const listOf = (what: string, form: RegExp) => (value: string) => {
  const list = value.split(',').map((each) => each.trim());
  if (list.some((each) => !form.test(each))) {
    throw new InvalidValue(`must be ${what}, separated by commas`);
  }
  return list;
};
/** Text that matches `form`; `what` describes it in a message. */
export const matching = (what: string, form: RegExp) => (value: string) => {
  if (!form.test(value)) throw new InvalidValue(`must be ${what}`);
  return value;
};
/** Attributes that Muster sets on every event. `data` is a member of the JSON form rather than an attribute. */
const RESERVED = new Set(
  'id source specversion type datacontenttype dataschema subject time data traceparent tracestate'.split(
    ' ',
  ),
);
/** The CloudEvents type String, which excludes control characters. */
const TEXT = /^\P{Cc}+$/u;

/**
 * CloudEvents extensions in the form in which a SinkBinding sets them. A value that would make an event
 * invalid is rejected at the start, because later it would make every event fail.
 */
export const extensions = (value: string): Record<string, string> => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new InvalidValue('must be JSON');
  }
  const given = (parsed as { extensions?: unknown } | null)?.extensions ?? {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new InvalidValue('must be {"extensions": {"name": "text"}}');
  }
  for (const [name, each] of Object.entries(given) as [string, unknown][]) {
    const what = `must be {"extensions": {"name": "text"}}: '${name}'`;
    if (!/^[a-z0-9]+$/.test(name)) {
      throw new InvalidValue(`${what} must be a name of lower-case letters and digits`);
    }
    if (RESERVED.has(name)) {
      throw new InvalidValue(`${what} is an attribute that Muster sets itself`);
    }
    if (typeof each !== 'string' || !TEXT.test(each) || !each.isWellFormed()) {
      throw new InvalidValue(
        `${what} must be text that is not empty and has no control characters`,
      );
    }
  }
  return given as Record<string, string>;
};
