import { setTimeout as sleep } from 'node:timers/promises';
import { Post, type PostOptions } from './post.ts';
import { RecordWriter } from './record.ts';
import { Street, type StreetOptions } from './street.ts';

/** A record for the topic `movements`. */
export interface Movement {
  /** JSON. */
  readonly value: string;
  readonly sensor: number;
  readonly traveler: string;
}

export interface SimulationOptions extends StreetOptions, PostOptions {
  /** Simulated time to run for, in seconds. */
  readonly seconds: number;
  /** Simulated seconds per second; Infinity: as fast as the reader accepts them. */
  readonly speed: number;
}

/** Simulated time per batch, in microseconds. */
const TICK = 100_000;

/**
 * Yields batches of movements in the order in which they are to be sent; the same options give the same
 * batches. If the reader can't keep up, simulated time slows down; it does not catch up in a burst.
 */
export async function* simulate(
  options: SimulationOptions,
  signal: AbortSignal,
): AsyncIterableIterator<Movement[]> {
  const street = new Street(options);
  const post = new Post(options);
  const writer = new RecordWriter();
  const { from, speed } = options;
  const end = from + options.seconds * 1e6;
  let due = performance.now();
  for (let until = from + TICK; until <= end && !signal.aborted; until += TICK) {
    const batch: Movement[] = [];
    for (const sighting of post.pass(street.sightings(until), until)) {
      const { sensor, id: traveler } = sighting.traveler;
      batch.push({ value: writer.write(sighting), sensor, traveler });
    }
    yield batch;
    const tickMs = TICK / 1000 / speed;
    due = Math.max(due + tickMs, performance.now() - 1000);
    const wait = due - performance.now();
    if (wait > 0) await sleep(wait, undefined, { signal }).catch(() => {});
  }
  const rest = [...post.rest()].map((sighting) => ({
    value: writer.write(sighting),
    sensor: sighting.traveler.sensor,
    traveler: sighting.traveler.id,
  }));
  if (rest.length > 0 && !signal.aborted) yield rest;
}
