import type { Database } from '../state/database.ts';
import { listParked, unpark, type ParkedEvent, type ParkedFilter } from '../state/parked.ts';
import { withDatabase } from './database.ts';
import type { RedeliverOptions } from './muster.ts';
import { wholeNumber } from './number.ts';
import { post } from './post.ts';
import { WrongUse } from './wrong-use.ts';

const PAGE = 100;

/** Posts events as they came; throws at the end if one is still parked or refused. */
export async function run(ids: readonly string[], options: RedeliverOptions): Promise<void> {
  if (options.deadLetters === undefined) return redeliverParked(ids, options);
  if (options.brokers === undefined)
    throw new WrongUse('--dead-letters needs --brokers, or KAFKA_BROKERS');
  if (ids.length > 0 || options.reason !== undefined) {
    throw new WrongUse('--dead-letters takes all events of the topic: give no ids and no --reason');
  }
  const { redeliverDeadLetters } = await import('./dead-letters.ts');
  const taken = await redeliverDeadLetters(options.deadLetters, options.brokers, options);
  process.stdout.write(`${taken} taken\n`);
}

async function redeliverParked(given: readonly string[], options: RedeliverOptions): Promise<void> {
  const filter = {
    ...(given.length > 0 && { ids: given.map((id) => String(wholeNumber('id', id))) }),
    reason: options.reason,
  };
  const left: string[] = [];
  const taken = await withDatabase((database) =>
    eachParked(database, filter, async (event) => {
      const { projection } = event.attributes;
      if (projection !== undefined) {
        left.push(event.id);
        process.stdout.write(
          `${event.id}\tis a record of the projection ${projection}: once that can read it, write it to the topic again\n`,
        );
        return false;
      }
      const { status, text } = await post(options, headersOf(event), event.body);
      if (status === 200 || status === 204) return true;
      left.push(event.id);
      process.stdout.write(`${event.id}\t${status}\t${text}\n`);
      return false;
    }),
  );
  process.stdout.write(`${taken} taken, ${left.length} left\n`);
  if (left.length > 0) throw new Error(`${left.length} events could not be filed yet`);
}

/** Hands over parked events page by page, and forgets those that `take` says are filed; gives back how many. */
async function eachParked(
  database: Database,
  filter: ParkedFilter,
  take: (event: ParkedEvent) => Promise<boolean>,
): Promise<number> {
  let taken = 0;
  for (let before: string | null = null; ;) {
    const events: ParkedEvent[] = await listParked(database, filter, PAGE, before);
    if (events.length === 0) return taken;
    for (const event of events) {
      if (!(await take(event))) continue;
      await unpark(database, event.id);
      taken++;
    }
    before = events.at(-1)!.id;
  }
}

function headersOf(event: ParkedEvent): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(event.attributes)) {
    headers[`ce-${name}`] = toHeader(value);
  }
  if (event.contentType !== null) headers['content-type'] = toHeader(event.contentType);
  if (event.contentEncoding !== null) headers['content-encoding'] = toHeader(event.contentEncoding);
  return headers;
}

/** A value that no header can carry is percent-encoded (HTTP protocol binding 1.0.2, 3.1.3.2). */
function toHeader(value: string): string {
  return value.replaceAll(/[^\x20-\x7e\x80-\xff]+/gu, encodeURIComponent);
}
