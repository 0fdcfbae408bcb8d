import type { Database } from '../state/database/database.ts';
import { listParked, unpark, type ParkedEvent, type ParkedFilter } from '../state/ingest/parked.ts';
import { plural } from '../doctor/plural.ts';
import { withDatabase } from './database.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { wholeNumber } from './number.ts';
import {
  checkDestination,
  isIngested,
  parsed,
  post,
  redelivery,
  type Destination,
} from './post.ts';
import { WrongUse } from './wrong-use.ts';

const PAGE = 100;

export interface RedeliverOptions extends Destination, JsonOption {
  readonly reason?: string;
  readonly skipUnwanted?: boolean;
  readonly deadLetters?: string;
  readonly brokers?: string;
}

/** The outcome of redelivering the requested events. */
interface Redelivered {
  readonly taken: number;
  readonly left: number;
  /** Requested numbers that are not parked. */
  readonly missing: readonly string[];
}

/** Why an event stays parked; `status` is that of the answer, null if it was not posted. */
interface Rejected {
  readonly status: number | null;
  readonly why: string;
}

/** Posts events as they arrived; throws at the end if one is still parked, was rejected or does not exist. */
export async function run(ids: readonly string[], options: RedeliverOptions): Promise<void> {
  checkDestination(options);
  if (options.deadLetters === undefined) return redeliverParked(ids, options);
  if (options.brokers === undefined) {
    throw new WrongUse('--dead-letters needs --brokers, or KAFKA_BROKERS');
  }
  if (ids.length > 0 || options.reason !== undefined) {
    throw new WrongUse(
      '--dead-letters redelivers all events of the topic: it excludes ids and --reason',
    );
  }
  const { redeliverDeadLetters } = await import('./dead-letters.ts');
  const taken = await redeliverDeadLetters(options.deadLetters, options.brokers, options);
  printResult(options, { taken }, `${taken} redelivered`);
}

async function redeliverParked(given: readonly string[], options: RedeliverOptions): Promise<void> {
  const { reason } = options;
  const ids = given.map((id) => String(wholeNumber('id', id)));
  const filter = { ...(ids.length > 0 && { ids }), reason };
  const { taken, left, missing } = await withDatabase((database) =>
    redeliverEach(database, filter, options),
  );
  printResult(options, { taken, left, missing }, `${taken} redelivered, ${left} left`);
  const why = reason === undefined ? '' : ` for the reason ${reason}`;
  if (missing.length > 0) throw new Error(`no such parked event${why}: ${missing.join(', ')}`);
  if (reason !== undefined && taken + left === 0) throw new Error(`no event is parked${why}`);
  if (left > 0) throw new Error(`${plural(left, 'event')} could not be ingested yet`);
}

/** Posts parked events page by page, and deletes those that were ingested. */
async function redeliverEach(
  database: Database,
  filter: ParkedFilter,
  options: RedeliverOptions,
): Promise<Redelivered> {
  const missing = new Set(filter.ids);
  let taken = 0;
  let left = 0;
  for (let before: string | null = null; ;) {
    const events: ParkedEvent[] = await listParked(database, filter, PAGE, before);
    for (const event of events) {
      missing.delete(event.id);
      const rejected = await redeliver(event, options);
      if (rejected === null) {
        await unpark(database, { ids: [event.id] });
        taken++;
      } else {
        const { status, why } = rejected;
        const columns = [event.id, ...(status === null ? [] : [status]), why];
        printResult(options, { id: event.id, status, why: parsed(why) }, columns.join('\t'));
        left++;
      }
    }
    if (events.length < PAGE) return { taken, left, missing: [...missing] };
    before = events.at(-1)!.id;
  }
}

/**
 * Posts one event; returns null if all functions for which it was parked have ingested it, otherwise why not.
 * A success status is not enough: workers of other functions also return it, for a table that they don't use.
 */
async function redeliver(event: ParkedEvent, options: RedeliverOptions): Promise<Rejected | null> {
  const { projection } = event.attributes;
  if (projection !== undefined) {
    const why = `is a record of the projection ${projection}: write it to the topic again once the projection can read it`;
    return { status: null, why };
  }
  const headers = { ...headersOf(event), ...redelivery(event.functions) };
  const answer = await post(options, headers, event.body);
  if (isIngested(answer)) return null;
  const { status, outcome, text } = answer;
  if (status !== 200 && status !== 204) return { status, why: text };
  const why =
    outcome === null
      ? 'the answer lacks the outcome: is the worker of an older release?'
      : `${outcome}: no function there uses it; to give it up: muster discard parked ${event.id}`;
  return { status, why };
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

/** Percent-encodes characters that a header can't carry (HTTP protocol binding 1.0.2, 3.1.3.2). */
function toHeader(value: string): string {
  return value.replaceAll(/[^\x20-\x7e\x80-\xff]+/gu, encodeURIComponent);
}
