import { bumpEpoch } from '../state/ingest/epochs.ts';
import { withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface EpochOptions extends JsonOption {
  readonly since?: string;
}

export async function run(source: string, options: EpochOptions): Promise<void> {
  const since = options.since === undefined ? null : timeOf('--since', options.since);
  const { epoch, beganAt } = await withDatabase((database) => bumpEpoch(database, source, since));
  const from = new Date(beganAt).toISOString();
  printResult(
    options,
    { source, epoch, beganAt: from },
    `source ${source} is now in epoch ${epoch}: positions restart with changes committed from ${from} on`,
  );
}

/** Parses a time to epoch milliseconds; requires a time zone, which would otherwise be this machine's. */
function timeOf(name: string, text: string): number {
  const time = /^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) {
    throw new WrongUse(
      `${name} must be a time with a time zone, such as 2026-06-01T12:00:00Z, not '${text}'`,
    );
  }
  return time;
}
