import { pino, type DestinationStream, type Logger } from 'pino';
import { framesOf, redactedErrorText } from '../lib/error-text.ts';
import { logFields, tracer } from './trace.ts';

/**
 * Allowlist of the fields of a log line: names, counts and reasons. Content of rows, events and requests has
 * no field here, so it can't be logged by mistake. A field that is not listed is dropped, and its name is
 * added to `omitted`.
 */
const FIELDS = new Set(
  [
    'id source partition offset event type table', // an event, or a change
    'function functions key missing runId attempt attempts waitMs seconds', // a set and its run
    'handler', // fields of a handler's own lines
    'error err at reason status code since sets members', // reasons, times and counts
    'label broker groupId topic retryCount assignment from to next records position end problem partitions group', // Kafka
    'url trace_id span_id',
  ].flatMap((names) => names.split(' ')),
);

/** Maximum length of a text that a handler or an error provides. */
const MAX_TEXT = 200;

/** Creates a logger that writes JSON lines. Within a span, a line carries the ids of trace and span. */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      formatters: { log: allowed },
      serializers: { err: serializeError },
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

/**
 * Reduces the fields of a handler's line to short texts, numbers and booleans. An object is replaced by its
 * type, because it may be a row.
 */
export function scalarsOf(fields: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries((fields as object | undefined) ?? {}).map(([name, value]) => {
      if (typeof value === 'string') return [name, value.slice(0, MAX_TEXT)];
      const isScalar = value === null || ['number', 'boolean', 'bigint'].includes(typeof value);
      return [name, isScalar ? value : `(${typeof value})`];
    }),
  );
}

/** Replaces pino's serializer, which copies every property, such as `detail` of a Postgres error with the row. */
function serializeError(error: unknown): object {
  if (!(error instanceof Error)) return { message: redactedErrorText(error) };
  return { message: redactedErrorText(error), at: framesOf(error) };
}
