/** Checks of what an author wrote: every property by name, so that a misspelt one is never ignored. */
import { inspect } from 'node:util';
import { closestMatch } from 'leven';
import { milliseconds } from '../lib/duration.ts';
import type { Duration } from '../function.ts';

/** What a property must be. */
export interface Field {
  readonly isRequired?: true;
  /** What is wrong with a value, in words that follow the property's name; null if nothing is. */
  readonly problem: (value: unknown) => string | null;
}

/** One for each property of `T`: a name that is missing here, or is no property of `T`, does not compile. */
export type Fields<T> = { readonly [N in keyof Required<T>]: Field };

/** A definition that can't be served; lists everything that is wrong with it. */
export class DefinitionError extends Error {
  override readonly name = 'DefinitionError';

  constructor(what: string, problems: readonly string[]) {
    super(`${what}:\n  ${problems.join('\n  ')}`);
  }
}

/** Takes note of a problem. */
export type Report = (problem: string) => void;

/** Longest wait of a Node timer is 24.8 days; one that is set to more fires at once. */
const LONGEST_TIMER_DAYS = 24;
/** 1,000 years: what a clock says that long from now, or said that long ago, is a date to Postgres and JavaScript. */
const LONGEST_DAYS = 365_000;
const MOST = 2_147_483_647;

/** Marks a field as one that must be given. */
export function required(each: Field): Field {
  return { ...each, isRequired: true };
}

/** A field whose values pass a test. */
export function field(mustBe: string, isFine: (value: unknown) => boolean): Field {
  return {
    problem: (value) => (isFine(value) ? null : `must be ${mustBe}, not ${show(value)}`),
  };
}

export const functionField = field('a function', (value) => typeof value === 'function');

export const textField = field('text that is not empty', isText);

export const count = field(
  `a whole number from 1 to ${MOST.toLocaleString('en')}`,
  (value) => Number.isInteger(value) && (value as number) > 0 && (value as number) <= MOST,
);

export const definitionName = field(
  'at most 63 lower-case letters, digits and dashes, a letter first',
  (value) => typeof value === 'string' && /^[a-z][a-z0-9-]{0,62}$/.test(value),
);

/** A length of time that Postgres counts. */
export const duration = durationField((days) => days <= LONGEST_DAYS, '365,000 days');
/** One that must not be nothing. */
export const someDuration = durationField(
  (days) => days > 0 && days <= LONGEST_DAYS,
  '365,000 days',
  'longer than nothing and ',
);
/** One that a timer of this process counts, if there is anything to count. */
export const pause = durationField((days) => days <= LONGEST_TIMER_DAYS, '24 days');
/** One that a timer of this process counts. */
export const timerDuration = durationField(
  (days) => days > 0 && days <= LONGEST_TIMER_DAYS,
  '24 days',
  'longer than nothing and ',
);

function durationField(isFine: (days: number) => boolean, most: string, more = ''): Field {
  return {
    problem(value) {
      if (typeof value !== 'string') {
        return `must be a duration as '15 minutes', not ${show(value)}`;
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

/** Text that Postgres can hold. */
export function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && isStorable(value);
}

export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}

/** A name that can be a property of any object. `__proto__` would be taken for its prototype. */
export function isName(value: unknown): value is string {
  return isText(value) && value !== '__proto__';
}

/**
 * Checks each property of an object; `path` stands before their names. Gives the object if it has the
 * right properties, each of them right, and null otherwise.
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

/** An object whose properties are all its own; null, and a report, for anything else. */
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
  // `{ __proto__: … }` has no property of that name; it takes what is meant as one for its prototype.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    report(`${of}must be a plain object, without __proto__`);
    return null;
  }
  return value as Record<string, unknown>;
}

/** There is no property of this name; which one may be meant? */
function unknownName(name: string, known: readonly string[]): string {
  return `there is no property ${show(name)}${didYouMean(name, known) || `; there are ${known.join(', ')}`}`;
}

/** Names the known name that is most like another; empty if none is. */
export function didYouMean(name: string, known: readonly string[]): string {
  const meant = nearest(name, known);
  return meant === null ? '' : `; did you mean '${meant}'?`;
}

/** The known name that differs least; null if all differ in every letter, or in over two and over a third. */
function nearest(name: string, known: readonly string[]): string | null {
  const same = known.find((each) => each.toLowerCase() === name.toLowerCase());
  const maxDistance = Math.min(name.length - 1, Math.max(2, Math.floor(name.length / 3)));
  return same ?? closestMatch(name, known, { maxDistance }) ?? null;
}

/** A value as an author would write it, in a few words. */
export function show(value: unknown): string {
  const text = inspect(value, { depth: 1, breakLength: Infinity, maxStringLength: 60 });
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}
