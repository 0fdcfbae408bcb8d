import { defineProjection, type ProjectionDefinition } from 'musterjs';
import type { Options } from './options.ts';
import { readSample, type Sample } from './ingest/sample.ts';
import { settle } from './fold/settle.ts';
import { stage } from './ingest/stage.ts';
import { timestampsIn } from './ingest/timestamp.ts';

/** Computes counts and speeds of travelers at street sensors. `fold/fold.ts` begins with their definitions. */
export function travelers(options: Options): ProjectionDefinition<Sample> {
  const readTime = timestampsIn(options.zone);
  return defineProjection<Sample>({
    name: 'travelers',
    topic: 'movements',
    read({ value }) {
      if (value === null) return undefined;
      const sample = readSample(value, readTime);
      const ahead = sample.at - Date.now() * 1000;
      if (ahead > options.aheadAtMost) {
        throw new Error(
          `timestamp is ${Math.round(ahead / 1e6)} s in the future; TRAVELERS_AHEAD_SECONDS allows at most ${options.aheadAtMost / 1e6} s`,
        );
      }
      return sample;
    },
    apply: (samples, chunk, tx) => stage(tx, samples, chunk, options),
    settle: (tx, context) => settle(tx, context, options),
  });
}
