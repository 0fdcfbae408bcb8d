import { listParked, unpark, type ParkedEvent } from '../state/parked.ts';
import { withDatabase } from './database.ts';
import type { RedeliverOptions } from './muster.ts';
import { wholeNumber } from './number.ts';
import { post } from './post.ts';

const PAGE = 100;

/** Posts parked events as they came; throws at the end if one is still parked or refused. */
export async function run(given: readonly string[], options: RedeliverOptions): Promise<void> {
  const filter = {
    ...(given.length > 0 && { ids: given.map((id) => String(wholeNumber('id', id))) }),
    reason: options.reason,
  };
  let taken = 0;
  let left = 0;
  await withDatabase(async (database) => {
    for (let before: string | null = null; ;) {
      const events: ParkedEvent[] = await listParked(database, filter, PAGE, before);
      if (events.length === 0) return;
      for (const event of events) {
        const { status, text } = await post(options.to, headersOf(event), event.body);
        if (status === 200 || status === 204) {
          await unpark(database, event.id);
          taken++;
        } else {
          process.stdout.write(`${event.id}\t${status}\t${text}\n`);
          left++;
        }
      }
      before = events.at(-1)!.id;
    }
  });
  process.stdout.write(`${taken} taken, ${left} left\n`);
  if (left > 0) throw new Error(`${left} events could not be filed yet`);
}

function headersOf(event: ParkedEvent): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(event.attributes)) headers[`ce-${name}`] = value;
  if (event.contentType !== null) headers['content-type'] = event.contentType;
  return headers;
}
