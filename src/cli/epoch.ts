import { bumpEpoch } from '../state/ingest/epochs.ts';
import { withDatabase } from './database.ts';
import { WrongUse } from './wrong-use.ts';

export async function run(source: string, options: { readonly since?: string }): Promise<void> {
  const since = options.since === undefined ? null : timeOf('--since', options.since);
  const { epoch, beganAt } = await withDatabase((database) => bumpEpoch(database, source, since));
  process.stdout.write(
    `source ${source} is in epoch ${epoch} now: positions of changes committed from ${new Date(beganAt).toISOString()} on start over\n`,
  );
}

/** Epoch milliseconds; without a zone a time would be one of this machine's. */
function timeOf(name: string, text: string): number {
  const time = /^\d{4}-\d\d-\d\d(T.*(Z|[+-]\d\d:\d\d))?$/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(time)) {
    throw new WrongUse(
      `${name} must be a time with its zone, as in 2026-06-01T12:00:00Z, not '${text}'`,
    );
  }
  return time;
}
