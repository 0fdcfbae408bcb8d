import { listParked, type ParkedEvent } from '../state/ingest/parked.ts';
import { withDatabase } from './database.ts';
import type { JsonOption } from './print-result.ts';
import { noteLimit, wholeNumber } from './number.ts';

export interface ParkedOptions extends JsonOption {
  readonly limit: string;
}

export async function run(id: string | undefined, options: ParkedOptions): Promise<void> {
  const limit = wholeNumber('--limit', options.limit);
  const filter = id === undefined ? {} : { ids: [String(wholeNumber('id', id))] };
  const events = await withDatabase((database) => listParked(database, filter, limit));
  if (id !== undefined && events.length === 0) throw new Error(`no event ${id} is parked`);
  for (const event of events) {
    if (options.json) process.stdout.write(`${JSON.stringify(toJson(event))}\n`);
    else if (id === undefined) process.stdout.write(`${toLine(event)}\n`);
    else process.stdout.write(toText(event));
  }
  if (id === undefined) noteLimit(events.length, limit);
  if (events.length === 0 && !options.json) process.stderr.write('no event is parked\n');
}

function toLine({ id, parkedAt, reason, attributes, detail, seen }: ParkedEvent): string {
  const times = seen === 1 ? '' : ` (${seen} times)`;
  return [
    id,
    parkedAt.toISOString(),
    reason + times,
    `${attributes['source']} ${attributes['id']}`,
    detail,
  ].join('\t');
}

function toText(event: ParkedEvent): string {
  const attributes = Object.entries(event.attributes).map(
    ([name, value]) => `ce-${name}: ${value}`,
  );
  return `${[toLine(event), ...attributes, '', event.body.toString()].join('\n')}\n`;
}

function toJson({ body, ...rest }: ParkedEvent): object {
  const text = body.toString();
  return Buffer.from(text).equals(body)
    ? { ...rest, body: text }
    : { ...rest, bodyBase64: body.toString('base64') };
}
