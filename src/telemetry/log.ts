import { pino, type DestinationStream, type Logger } from 'pino';
import { redactedErrorText } from '../lib/error-text.ts';
import { logFields, tracer } from './trace.ts';

/**
 * Fields a line may have, whoever writes it: names, counts and reasons. What a row, an event or a
 * request holds has no name here, so it can't get into a log by mistake; a field that is not listed is
 * left out, and its name is in `omitted`.
 */
const FIELDS = new Set(
  [
    'id source partition offset event', // of an event
    'function functions key missing runId attempt attempts waitMs seconds', // of a set and its run
    'handler', // what a handler says itself
    'error err reason status code since sets members', // why, since when, and how much
    'label broker groupId topic retryCount assignment from to next records position end problem partitions group', // of Kafka
    'url trace_id span_id',
  ].flatMap((names) => names.split(' ')),
);

/** Longest text of a handler's field. */
const MAX_TEXT = 200;

/** Lines in JSON, of which those within a span carry its ids. */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      formatters: { log: allowed },
      serializers: { err: describeError },
      mixin: () => {
        const active = tracer?.active();
        return active === undefined ? {} : logFields(active);
      },
    },
    destination,
  );
}

function allowed(fields: Record<string, unknown>): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  const omitted: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    if (FIELDS.has(name)) kept[name] = value;
    else omitted.push(name);
  }
  return omitted.length === 0 ? kept : { ...kept, omitted };
}

/** What a handler may say of its own: short texts, numbers, booleans; an object may be a row. */
export function scalarsOf(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries((fields as object | undefined) ?? {}).map(([name, value]) => {
      if (typeof value === 'string') return [name, value.slice(0, MAX_TEXT)];
      const isScalar = value === null || ['number', 'boolean', 'bigint'].includes(typeof value);
      return [name, isScalar ? value : `(${typeof value})`];
    }),
  );
}

/** Without what pino would take along: every property, such as the row in `detail` of a Postgres error. */
function describeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: redactedErrorText(error) };
  const at = error.stack?.split('\n').filter((line) => /^\s+at /.test(line));
  return { message: redactedErrorText(error), at: at?.map((line) => line.trim()) };
}
