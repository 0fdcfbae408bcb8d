import { forgetSource, listSources, replaceSource } from '../state/ingest/sources.ts';
import { plural } from '../doctor/plural.ts';
import { withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';

export async function list(options: JsonOption): Promise<void> {
  const sources = await withDatabase(listSources);
  for (const { name, epoch, lsn, at } of sources) {
    const line = options.json
      ? JSON.stringify({ source: name, epoch, lsn, at })
      : [name, `epoch ${epoch}`, lsn ?? '-', at?.toISOString() ?? '-'].join('\t');
    process.stdout.write(`${line}\n`);
  }
  if (sources.length === 0 && !options.json) process.stderr.write('no source is known\n');
}

export async function replace(old: string, successor: string, options: JsonOption): Promise<void> {
  const { epoch, forgotten } = await withDatabase((database) =>
    replaceSource(database, old, successor),
  );
  const rows = `${plural(forgotten, 'row')} that ${successor} had sent before ${forgotten === 1 ? 'was' : 'were'} forgotten: take a new snapshot of its tables`;
  printResult(
    options,
    { source: successor, replaced: old, epoch, forgotten },
    `${successor} replaces ${old}, in epoch ${epoch}${forgotten > 0 ? `\n${rows}` : ''}`,
  );
}

export async function forget(name: string, options: JsonOption): Promise<void> {
  const removed = await withDatabase((database) => forgetSource(database, name));
  printResult(
    options,
    { source: name, removed },
    `source ${name} was forgotten: ${plural(removed, 'row')} removed from ${removed === 1 ? 'its set' : 'their sets'}`,
  );
}
