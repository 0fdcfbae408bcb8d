import type { Origin } from '../change.ts';
import { refuseOutdated, type Registered } from '../registration/current.ts';
import { isBadValue, type Database } from '../database/database.ts';
import { toParking, type Parking } from './parking.ts';
import { sql } from '../sql.ts';

const PARK_EVENTS = sql('park-events');
/** Limits of one statement. */
const MAX_EVENTS = 256;
const MAX_BYTES = 4 * 1024 * 1024;

interface Item {
  readonly parking: Parking;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * ParkingQueue implements group commit for parked events: events that arrive while a statement runs share the
 * next one. Parked one by one, the 62,000 elements of an invalid batch took 82 s.
 */
export class ParkingQueue {
  readonly #database: Database;
  readonly #served: readonly Registered[];
  #queue: Item[] = [];
  #isWriting = false;

  constructor(database: Database, served: readonly Registered[]) {
    this.#database = database;
    this.#served = served;
  }

  /**
   * Parks an event for the functions served here; resolves once it is committed. Rejects with the error from
   * Postgres, or if these are not the newest definitions.
   */
  park(origin: Origin, reason: string, detail: string): Promise<void> {
    const parking = toParking(origin, reason, detail);
    return new Promise((resolve, reject) => {
      this.#queue.push({ parking, resolve, reject });
      if (this.#isWriting) return;
      this.#isWriting = true;
      // Waiting one turn of the event loop lets events that arrived together share a statement.
      setImmediate(() => void this.#writeAll());
    });
  }

  async #writeAll(): Promise<void> {
    while (this.#queue.length > 0) await this.#write(this.#take());
    this.#isWriting = false;
  }

  #take(): Item[] {
    let bytes = 0;
    let n = 0;
    for (const { parking } of this.#queue) {
      bytes += parking.body.byteLength;
      if (n > 0 && (n === MAX_EVENTS || bytes > MAX_BYTES)) break;
      n++;
    }
    return this.#queue.splice(0, n);
  }

  /** Writes events in one statement. If Postgres refuses a value, writes each event alone, to isolate the bad one. */
  async #write(items: readonly Item[]): Promise<void> {
    try {
      const values = [
        ...toValues(items),
        this.#served.map((each) => each.id),
        this.#served.map((each) => each.registration),
        this.#served.map((each) => each.specification.name),
      ];
      const query = { ...PARK_EVENTS, values };
      const { rows } = await this.#database.control.query<{ is_current: boolean }>(query);
      if (!rows[0]!.is_current) await refuseOutdated(this.#database, this.#served);
      for (const { resolve } of items) resolve();
    } catch (error) {
      if (items.length > 1 && isBadValue(error)) {
        for (const item of items) await this.#write([item]);
      } else for (const { reject } of items) reject(error);
    }
  }
}

function toValues(items: readonly Item[]): unknown[] {
  // an upsert can't affect a row twice
  const distinct = new Map<string, { readonly parking: Parking; times: number }>();
  for (const { parking } of items) {
    const digest = parking.digest.toString('latin1');
    const known = distinct.get(digest);
    if (known === undefined) distinct.set(digest, { parking, times: 1 });
    else known.times++;
  }
  const all = [...distinct.values()];
  const parkings = all.map(({ parking }) => parking);
  return [
    parkings.map((each) => each.digest),
    parkings.map((each) => each.reason),
    parkings.map((each) => each.detail),
    parkings.map((each) => each.attributes),
    parkings.map((each) => each.contentType),
    parkings.map((each) => each.contentEncoding),
    parkings.map((each) => each.body),
    all.map(({ times }) => times),
  ];
}
