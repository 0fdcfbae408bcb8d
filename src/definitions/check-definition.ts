/** Checks for every property of a definition, by kind of definition. */
import {
  checkFields,
  checkObject,
  count,
  definitionName,
  duration,
  field,
  type Field,
  type Fields,
  functionField,
  isName,
  isStorable,
  isText,
  pause,
  shortPause,
  required,
  type Report,
  show,
  positiveDuration,
  timerDuration,
} from './fields.ts';
import { checkPart } from './check-parts.ts';
import { topic } from './fields.ts';
import type {
  Batch,
  FunctionDefinition,
  OutgoingEvent,
  Part,
  ProjectionDefinition,
  RetryPolicy,
  Rule,
} from '../function.ts';

const RETRY = { attempts: count, first: duration, max: duration } satisfies Fields<RetryPolicy>;

/** Shape of a rule. Its parts and inner rules are checked where the parts are known (specification.ts). */
export const RULE = {
  atLeast: required(count),
  of: required(
    field('a list of parts and rules', (value) => Array.isArray(value) && value.length > 0),
  ),
} satisfies Fields<Rule>;

const anything: Field = { problem: () => null };

const FUNCTION = {
  name: required(definitionName),
  parts: required(anything), // checked one by one below
  complete: anything, // checked in specification.ts
  overdueAfter: positiveDuration,
  history: field("'skip' or 'run'", (value) => value === 'skip' || value === 'run'),
  timeout: timerDuration,
  retry: anything,
  concurrency: count,
  keepFor: duration,
  forgetAfter: duration,
  handle: functionField,
  handleAll: functionField,
  batch: anything, // checked below
} satisfies Fields<FunctionDefinition>;

const BATCH = {
  size: required(
    field(
      'a whole number from 1 to 1,000',
      (value) => Number.isInteger(value) && (value as number) > 0 && (value as number) <= 1_000,
    ),
  ),
  wait: shortPause, // the rows of the sets are in memory meanwhile, and their later changes are not seen
} satisfies Fields<Batch>;

const PROJECTION = {
  name: required(definitionName),
  topic: required(topic),
  chunkRecords: count,
  linger: pause,
  read: required(functionField),
  apply: required(functionField),
  settle: functionField,
  settleEvery: timerDuration,
} satisfies Fields<ProjectionDefinition>;

const EVENT = {
  type: required(field('text that is not empty', isText)),
  // empty if the key of the set is empty; such a subject is not sent
  subject: field('text without U+0000', (value) => typeof value === 'string' && isStorable(value)),
  data: field(
    'a value that JSON can represent',
    (value) => !['function', 'symbol'].includes(typeof value),
  ),
} satisfies Fields<OutgoingEvent>;

/** Reports every problem in the properties of a function; returns its valid parts by name. */
export function checkFunction(definition: unknown, report: Report): ReadonlyMap<string, Part> {
  const parts = new Map<string, Part>();
  checkFields('', definition, FUNCTION, report);
  const given = definition as Partial<FunctionDefinition>;
  if (given.retry !== undefined) checkFields('retry', given.retry, RETRY, report);
  checkHandlers(given, report);
  if (given.parts === undefined) return parts;
  for (const [name, part] of Object.entries(checkObject('parts', given.parts, report) ?? {})) {
    if (!isName(name)) report(`parts: ${show(name)} can't be the name of a part`);
    const checked = checkPart(`part ${name}`, part, report);
    if (checked !== null) parts.set(name, checked);
  }
  return parts;
}

function checkHandlers(given: Partial<FunctionDefinition>, report: Report): void {
  const { handle, handleAll, batch, concurrency } = given;
  if (handle === undefined && handleAll === undefined) {
    report('handle is missing: write handle, or handleAll with batch');
  }
  if (handle !== undefined && handleAll !== undefined) {
    report('handle and handleAll: a function has only one of them');
  }
  if (batch !== undefined) checkFields('batch', batch, BATCH, report);
  if (batch !== undefined && handleAll === undefined) report('batch: only handleAll uses it');
  if (batch === undefined && handleAll !== undefined) {
    report("batch is missing: handleAll needs one, such as { size: 100, wait: '50 milliseconds' }");
  }
  if (concurrency !== undefined && handleAll !== undefined) {
    report(
      'concurrency: it limits runs, of which handleAll gets many in one call; limit the calls of a process with CONCURRENCY',
    );
  }
}

/** Reports every problem of a projection. */
export function checkProjection(definition: unknown, report: Report): void {
  checkFields('', definition, PROJECTION, report);
}

/** Reports every problem of an event that a handler returned; returns whether it is valid. */
export function checkEvent(event: unknown, report: Report): event is OutgoingEvent {
  return checkFields<OutgoingEvent>('', event, EVENT, report) !== null;
}
