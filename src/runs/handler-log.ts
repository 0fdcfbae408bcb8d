import type { Log } from '../function.ts';
import { redactedErrorText } from '../lib/error-text.ts';
import { scalarsOf } from '../telemetry/log.ts';

/** A log whose lines all carry these fields. */
export function withFields(log: Log, fields: object): Log {
  return {
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}

/** The log that a handler is given: its fields stand under one name, and none of them can hold a row. */
export function handlerLog(log: Log): Log {
  return { info: writer(log, 'info'), warn: writer(log, 'warn'), error: writer(log, 'error') };
}

/** A line that can't be written, such as one with a getter that throws, does not fail the handler. */
function writer(log: Log, level: keyof Log): Log['info'] {
  return (fields, message) => {
    try {
      if (typeof fields === 'string') log[level]({}, fields);
      else log[level]({ handler: scalarsOf(fields) }, message);
    } catch (error) {
      log.warn(
        { error: redactedErrorText(error) },
        'a log line of the handler could not be written',
      );
    }
  };
}
