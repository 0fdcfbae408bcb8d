import { queriesOf } from '../state/database/database.ts';
import { listIgnored, noteOn, type IgnoredStream } from '../state/queries/ignored.ts';
import { withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';

export async function run(options: JsonOption): Promise<void> {
  const streams = await withDatabase((database) => listIgnored(queriesOf(database.control)));
  for (const each of streams) {
    process.stdout.write(`${options.json ? JSON.stringify(each) : toLine(each)}\n`);
  }
  if (streams.length === 0 && !options.json) {
    process.stderr.write('nothing was ignored: functions name all that has arrived\n');
  }
}

function toLine(stream: IgnoredStream): string {
  const { kind, name, count, lastAt, source } = stream;
  const what = kind === 'other' ? 'others, beyond the number that is counted by name' : name;
  return [kind, what, count, `last ${lastAt.toISOString()}`, source ?? '', noteOn(stream)]
    .join('\t')
    .trimEnd();
}
