import { expect, test } from 'vitest';
import { say } from './say.ts';
import { completeInSource } from './source.ts';
import type { Trial } from './trial.ts';

/** After all of that: what the source table says has happened, once. */
export function comparison(trial: () => Trial): void {
  test('every set of the source table is done once, and every event was taken', async () => {
    const { pods, road, traces } = trial();
    const complete = await completeInSource(road.source, 'second');
    const done = await traces.effectsOfAll();
    const once = new Set(done);
    const lost = complete.filter((key) => !once.has(key)).length;
    say(`${complete.length} sets: lost ${lost}, twice ${done.length - once.size}`);
    const events = road.sink.events.filter(({ type }) => type === 'trial.processed');
    const ids = new Set(events.map(({ id }) => id));
    say(`${ids.size} events published, ${events.length - ids.size} of them again`);
    say(`restarts of containers: ${pods.restarts}`);
    expect(done).toEqual(complete);
    expect(ids.size).toBe(complete.length);
    expect(await trial().refused()).toEqual({ deadLetters: 0, lost: [] });
  });
}
