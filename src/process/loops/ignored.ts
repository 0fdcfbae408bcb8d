import { Loop } from '../../lib/loop.ts';
import type { Parts } from '../parts.ts';

const EVERY_MS = 5_000;

/** Adds what this process has ignored to the counts in the database, which the console and the doctor read. */
export function startCountingIgnored(
  { database, ingestor, onError }: Parts,
  firstMs: number,
): Loop {
  return new Loop(
    EVERY_MS,
    () => ingestor.ignored.write(database),
    onError('counting ignored events'),
    firstMs,
  );
}
