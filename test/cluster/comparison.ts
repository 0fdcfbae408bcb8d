import { expect, test } from 'vitest';
import { say } from './say.ts';
import { completeInSource } from './source.ts';
import type { Trial } from './trial.ts';

/** Compares all effects with the source table after the other scenes: each set has run exactly once. */
export function comparison(trial: () => Trial): void {
  test('every set of the source table has run once, and every event was ingested', async () => {
    const { pods, pipeline, traces } = trial();
    const complete = await completeInSource(pipeline.source, 'second');
    const done = await traces.effectsOfAll();
    const once = new Set(done);
    const lost = complete.filter((key) => !once.has(key)).length;
    say(`${complete.length} sets: lost ${lost}, twice ${done.length - once.size}`);
    const events = pipeline.sink.events.filter(({ type }) => type === 'trial.processed');
    const ids = new Set(events.map(({ id }) => id));
    say(`${ids.size} events published, ${events.length - ids.size} of them twice`);
    say(`container restarts: ${pods.restarts}`);
    expect(done).toEqual(complete);
    expect(ids.size).toBe(complete.length);
    expect(await trial().refused()).toEqual({ deadLetters: 0, lost: [] });
  });
}
