/** The demo's messages. */
import { relative } from 'node:path';
import type { Overdue, Processed, SetCounts, Summary } from './numbers.ts';
import { OVERDUE_AFTER } from './overdue.ts';
import type { DemoParts } from './parts.ts';

export function introduction(
  { url, folder, pages, events }: Pick<DemoParts, 'url' | 'folder' | 'pages' | 'events'>,
  { rate, sensors, seed }: { rate: number; sensors: number; seed: number },
): string {
  const streets =
    sensors === 0
      ? ''
      : `\n  Street sensors  ${pages}travelers/ (${sensors} sensors report travelers)`;
  return `
Headbands insert ${rate} signals per second into a table. Each change of the table is sent to Muster as an event.
The EEG and the accelerometer signal of one span of a recording make a set. As soon as a set is complete,
Muster runs the function in functions/recordings.ts for it, once, and a line "processed" appears below.
A set that is still incomplete after ${OVERDUE_AFTER} (15 minutes outside the demo) is overdue. You will see one soon,
because one accelerometer signal never arrives.

  All functions   ${pages}${streets}
  Events          POST ${events}
  SQL             psql '${url}'
  Data and logs   ${placeOf(folder)}

Press Ctrl-C to stop the demo. Seed ${seed}.
`;
}

export function processedLine({ recording, span }: Processed): string {
  return `processed  ${recording}  ${secondsOf(span)}`;
}

export function overdueLine({ recording, span, missing }: Overdue): string {
  return `overdue    ${recording}  ${secondsOf(span)}  no ${missing.join(' and no ')} signal within ${OVERDUE_AFTER}`;
}

/** Printed below the first overdue set: how to find out why a set is waiting. */
export function overdueHelp(
  { key, missing, example }: Overdue,
  { url, events }: Pick<DemoParts, 'url' | 'events'>,
): string {
  const explain = `DATABASE_URL=${quote(url)} npx muster explain recordings ${quote(key)}`;
  const again = example
    ? `
Or send the event of the signal that has arrived again. Muster ignores the duplicate and answers with what is missing:

  ${curlOf(events, example)}
`
    : '';
  return `
The set above is overdue because its ${missing.join(' and its ')} signal is missing. Muster has published one event that
reports this and keeps waiting: if the signal arrives, the set is processed. To see what Muster knows about
the set while the demo runs:

  ${explain}
${again}`;
}

export function statusLine(
  { waiting, complete, running, done, failed, overdue }: SetCounts,
  now: { pages: string; rate: number; lag: number; movements: number | undefined },
): string {
  const sets = `done ${done}, waiting ${waiting}, overdue ${overdue}`;
  const rest = [
    complete + running > 0 ? `to run ${complete + running}` : '',
    failed > 0 ? `failed ${failed}` : '',
    `${now.rate} events/s`,
    `${now.lag} in flight`,
    now.movements === undefined ? '' : `${now.movements} sensor records`,
  ];
  return `${sets} | ${now.pages} | ${rest.filter(Boolean).join(', ')}`;
}

export function conclusion(
  summary: Summary,
  { waiting, overdue }: SetCounts,
  folder: string,
): string {
  const { complete, processed, twice, missing, brokenSince, examples } = summary;
  const since = brokenSince > 0 ? `(of ${brokenSince}, a signal was deleted afterwards)` : '';
  const lines = [
    ['complete in the table', complete],
    ['processed', processed, since],
    ['processed twice', twice],
    ['not processed', missing, examples.join(' ')],
    ['still incomplete', waiting, overdue > 0 ? `(${overdue} of them overdue)` : ''],
  ] as const;
  const table = lines.map(([what, number, note = '']) =>
    `${what.padEnd(22)}${String(number).padStart(7)}  ${note}`.trimEnd(),
  );
  return `
Muster's results, compared with the table:
${table.join('\n')}

The data stays in ${placeOf(folder)}. The next start continues from it; --fresh deletes it.`;
}

/** The event changes nothing: position 1 in the log is older than that of the signal Muster has. */
function curlOf(events: string, after: NonNullable<Overdue['example']>): string {
  const source = { name: 'postgres', schema: 'datastore', table: 'signal', lsn: 1, ts_ms: 0 };
  const headers = {
    Prefer: 'return=representation',
    'ce-specversion': '1.0',
    'ce-id': '1',
    'ce-source': '/by-hand',
    'ce-type': 'dev.knative.kafka.event',
  };
  const flags = Object.entries(headers).map(([name, value]) => `-H ${quote(`${name}: ${value}`)}`);
  const body = JSON.stringify({ op: 'c', before: null, after, source });
  return `curl -sS ${events} ${flags.join(' ')} -d ${quote(body)}`;
}

function secondsOf(span: string): string {
  const [, from, to] = /^\[(\d+),(\d+)\)$/.exec(span) ?? [];
  return from && to ? `${Number(from) / 1e9}–${Number(to) / 1e9} s` : span;
}

function placeOf(folder: string): string {
  const place = relative(process.cwd(), folder);
  return place.startsWith('..') ? folder : place;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
