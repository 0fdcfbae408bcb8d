import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Movement } from './simulation.ts';

const BATCH = 5_000;

/** Yields the movements in a file, one per line, in order. */
export async function* replay(
  path: string,
  signal: AbortSignal,
): AsyncIterableIterator<Movement[]> {
  const input = createReadStream(path, { highWaterMark: 1024 * 1024, signal });
  let batch: Movement[] = [];
  for await (const value of createInterface({ input, crlfDelay: Infinity })) {
    if (value === '') continue;
    batch.push(toMovement(value));
    if (batch.length === BATCH) {
      yield batch;
      batch = [];
    }
  }
  if (batch.length > 0) yield batch;
}

/** Accepts any line: handling invalid ones is up to the consumer of the topic. */
function toMovement(value: string): Movement {
  const sensor = /"sensor_id":\s*(\d+)/.exec(value)?.[1] ?? '0';
  const traveler = /"traveler_id":\s*"([^"]*)"/.exec(value)?.[1] ?? '';
  return { value, sensor: Number(sensor), traveler };
}
