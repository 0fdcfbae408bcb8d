/** Validation of what an author wrote. All properties are known by name, so that a misspelt one is never ignored. */
import { inspect } from 'node:util';
import { closestMatch } from 'leven';
import { milliseconds } from '../lib/duration.ts';
import type { Duration } from '../function.ts';

/** Validation of one property. */
export interface Field {
  readonly isRequired?: true;
  /** Returns what is wrong with a value, phrased to follow the property's name; null if it is valid. */
  readonly problem: (value: unknown) => string | null;
}

/** One field per property of `T`. A missing property, or one that `T` does not have, does not compile. */
export type Fields<T> = { readonly [N in keyof Required<T>]: Field };

/** Thrown for an invalid definition; the message lists every problem. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';

  constructor(what: string, problems: readonly string[]) {
    super(`${what}:\n  ${problems.join('\n  ')}`);
  }
}

/** Receives one problem at a time. */
export type Report = (problem: string) => void;

/** A Node timer waits at most 24.8 days; one that is set to more fires immediately. */
const LONGEST_TIMER_DAYS = 24;
/** 1,000 years: both Postgres and JavaScript can represent a date that far in the past or the future. */
const LONGEST_DAYS = 365_000;
/** Largest `int` of Postgres. */
const MAX_INT = 2_147_483_647;

/** Returns the field as a required one. */
export function required(each: Field): Field {
  return { ...each, isRequired: true };
}

/** A field whose valid values are those that `isFine` accepts; `mustBe` describes them in a message. */
export function field(mustBe: string, isFine: (value: unknown) => boolean): Field {
  return {
    problem: (value) => (isFine(value) ? null : `must be ${mustBe}, not ${show(value)}`),
  };
}

export const functionField = field('a function', (value) => typeof value === 'function');

export const textField = field('text that is not empty', isText);

export const count = field(
  `a whole number from 1 to ${MAX_INT.toLocaleString('en')}`,
  (value) => Number.isInteger(value) && (value as number) > 0 && (value as number) <= MAX_INT,
);

/** Words that YAML 1.1, in which Kubernetes objects are written, reads as a boolean or null. */
const YAML_VALUES = new Set(['y', 'n', 'yes', 'no', 'on', 'off', 'true', 'false', 'null']);

/** Also the name of Kubernetes objects. */
export const definitionName = field(
  'at most 63 lower-case letters, digits and dashes, a letter first and no dash last, and no value of YAML such as on',
  (value) =>
    typeof value === 'string' &&
    /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value) &&
    !YAML_VALUES.has(value),
);

export const topic = field(
  'the name of a topic (at most 249 letters, digits, dots, dashes and underscores)',
  (value) => typeof value === 'string' && /^[a-zA-Z0-9._-]{1,249}$/.test(value),
);

/** A duration that Postgres measures. */
export const duration = durationField((days) => days <= LONGEST_DAYS, '365,000 days');
/** A duration above zero that Postgres measures. */
export const positiveDuration = durationField(
  (days) => days > 0 && days <= LONGEST_DAYS,
  '365,000 days',
  'above zero and ',
);
/** A duration, possibly zero, that a timer of this process measures. */
export const pause = durationField((days) => days <= LONGEST_TIMER_DAYS, '24 days');
/** A duration of at most a minute, possibly zero. */
export const shortPause = durationField((days) => days <= 1 / 1_440, '1 minute');
/** A duration above zero that a timer of this process measures. */
export const timerDuration = durationField(
  (days) => days > 0 && days <= LONGEST_TIMER_DAYS,
  '24 days',
  'above zero and ',
);

function durationField(isFine: (days: number) => boolean, most: string, more = ''): Field {
  return {
    problem(value) {
      if (typeof value !== 'string') {
        return `must be a duration such as '15 minutes', not ${show(value)}`;
      }
      try {
        const days = milliseconds(value as Duration) / 86_400_000;
        return isFine(days) ? null : `must be ${more}at most ${most}, not ${show(value)}`;
      } catch (error) {
        return `must be a duration: ${(error as Error).message}`;
      }
    },
  };
}

/** Whether a value is text that is not empty and that Postgres can store. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && isStorable(value);
}

/** Whether Postgres can store a text: it has neither a lone surrogate nor U+0000. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** Whether a value can name a property of any object. Assigning to `__proto__` would set the prototype instead. */
export function isName(value: unknown): value is string {
  return isText(value) && value !== '__proto__';
}

/**
 * Checks every property of an object; `path` precedes their names in reports. Returns the object if all of
 * its properties are valid, and null otherwise.
 */
export function checkFields<T>(
  path: string,
  value: unknown,
  fields: Fields<T>,
  report: Report,
): T | null {
  const object = checkObject(path, value, report);
  if (object === null) return null;
  let isFine = true;
  const fail = (problem: string) => {
    report(path === '' ? problem : `${path}: ${problem}`);
    isFine = false;
  };
  const known = Object.keys(fields);
  for (const name of Object.keys(object)) {
    if (!Object.hasOwn(fields, name)) fail(unknownName(name, known));
  }
  for (const [name, { isRequired, problem }] of Object.entries<Field>(fields)) {
    const given = object[name];
    if (given === undefined) {
      if (isRequired) fail(`${name} is missing`);
      continue;
    }
    const found = problem(given);
    if (found !== null) fail(`${name} ${found}`);
  }
  return isFine ? (object as T) : null;
}

/** Returns a plain object as it is; reports anything else and returns null. */
export function checkObject(
  path: string,
  value: unknown,
  report: Report,
): Record<string, unknown> | null {
  const of = path === '' ? '' : `${path}: `;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    report(`${of}must be an object, not ${show(value)}`);
    return null;
  }
  const prototype = Object.getPrototypeOf(value) as object | null;
  // `{ __proto__: … }` sets the prototype, and the property that was meant does not exist.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    report(`${of}must be a plain object, without __proto__`);
    return null;
  }
  return value as Record<string, unknown>;
}

/** Describes an unknown property, with the one that was probably meant. */
function unknownName(name: string, known: readonly string[]): string {
  return `there is no property ${show(name)}${didYouMean(name, known) || `; there are ${known.join(', ')}`}`;
}

/** Returns a suggestion for a misspelt name, to append to a message; empty if no known name is similar. */
export function didYouMean(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === null ? '' : `; did you mean '${meant}'?`;
}

/**
 * Returns the known name with the least edit distance. Null if every one differs in all letters, or in more
 * than two letters that are more than a third of the name.
 */
function nearest(name: string, known: readonly string[]): string | null {
  const same = known.find((each) => each.toLowerCase() === name.toLowerCase());
  const maxDistance = Math.min(name.length - 1, Math.max(2, Math.floor(name.length / 3)));
  return same ?? closestMatch(name, known, { maxDistance }) ?? null;
}

/** Formats a value as an author would write it, in at most 80 characters. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Infinity, maxStringLength: 60 });
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
