import { bumpEpoch } from '../state/marks.ts';
import { withDatabase } from './database.ts';
import { WrongUse } from './wrong-use.ts';

export async function run(source: string, options: { readonly since?: string }): Promise<void> {
  const since = options.since === undefined ? null : Date.parse(options.since);
  if (Number.isNaN(since)) throw new WrongUse(`--since: '${options.since}' is no time`);
  const { epoch, beganAt } = await withDatabase((database) => bumpEpoch(database, source, since));
  process.stdout.write(
    `source ${source} is in epoch ${epoch} now: positions of changes committed from ${new Date(beganAt).toISOString()} on start over\n`,
  );
}
