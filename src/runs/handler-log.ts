import type { Log } from '../function.ts';
import { redactedErrorText } from '../lib/error-text.ts';
import { scalarsOf } from '../telemetry/log.ts';

/** Returns a log that adds these fields to each line. */
export function withFields(log: Log, fields: object): Log {
  return {
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}

/** Returns the log for a handler: its fields are nested under `handler`, and reduced to scalars, so that no row is logged. */
export function handlerLog(log: Log): Log {
  return { info: writer(log, 'info'), warn: writer(log, 'warn'), error: writer(log, 'error') };
}

/** Returns a log method. A line that can't be written, such as one with a throwing getter, does not fail the handler. */
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
