import { expect, test } from 'vitest';
import { eventually, say } from './say.ts';
import type { Trial } from './trial.ts';

/** Scenes about the number of pods; each ends at zero. */
export function scaling(trial: () => Trial): void {
  test('an applied function scales to zero', () => {
    const { pods } = trial();
    expect([pods.replicas, pods.present]).toEqual([0, []]);
  });

  test('one event wakes one pod, which ingests it; the event that completes its set wakes another', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(1, 'the first half', ['eeg']);
    say('one event');
    await pods.atLeast(1);
    await trial().delivered();
    await pods.none();
    expect(await traces.count(recording, 'started')).toBe(0);

    await recording.complete(1, 'accelerometer');
    say('the other one');
    await traces.effects(recording, 1, 60);
    await pods.none();
    expect(pods.peak).toBe(1);
  });

  test('5,000 events with slow handlers spread over the maximum number of pods', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(2_500, 'sleep 2000');
    say('5,000 events: 2,500 sets, handlers of 2 s');
    await trial().delivered();
    await traces.effects(recording, 2_500, 300);
    const byPod = Map.groupBy(await traces.of(recording, 'effect'), ({ pod }) => pod);
    say(`processed by pod: ${[...byPod.values()].map((each) => each.length).join(', ')}`);
    expect(pods.peak).toBe(MOST);
    expect(byPod.size).toBe(MOST);
    expect(await traces.count(recording, 'started')).toBe(2_500);
    await pods.none(300);
  });

  test('events reach every pod that KEDA adds, although all connections led to one pod', async () => {
    const { pods, traces } = trial();
    const [busy, many] = [trial().recording(), trial().recording()];
    await busy.add(1, 'sleep 1000');
    await pods.atLeast(1);
    say('one pod, to which every connection leads');
    await busy.add(MOST * 16, 'sleep 60000');
    await pods.atLeast(MOST, 180);
    const before = await pods.events();
    await many.add(5_000, 'sleep 1');
    say('10,000 events');
    await trial().delivered(300);
    const taken = (await pods.events()).map(([pod, events]) => {
      const [, earlier = 0] = before.find(([each]) => each === pod) ?? [];
      return events - earlier;
    });
    say(`events by pod: ${taken.join(', ')}`);
    expect(taken.length).toBe(MOST);
    // a third of an equal share
    expect(Math.min(...taken)).toBeGreaterThan(10_000 / MOST / 3);
    await traces.effects(many, 5_000, 300);
    await traces.effects(busy, MOST * 16 + 1, 300);
    await pods.none(300);
  });

  test('a handler that takes four times the cooldown, with no other work, finishes once, at attempt 1', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(1, `sleep ${4 * COOLDOWN_S * 1000}`);
    await eventually(
      'it has started',
      async () => (await traces.count(recording, 'started')) === 1,
      60,
    );
    await trial().delivered();
    const [pod] = pods.present;
    await traces.effects(recording, 1, 90);
    expect(await traces.of(recording, 'started')).toEqual([{ attempt: 1, pod }]);
    expect(await traces.of(recording, 'effect')).toEqual([{ attempt: 1, pod }]);
    await pods.none();
  });

  test('a due retry wakes a pod from zero', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(1, 'fail 1');
    await eventually(
      'it has failed',
      async () => (await traces.count(recording, 'started')) === 1,
      60,
    );
    await pods.none();
    expect(await traces.count(recording, 'effect')).toBe(0);
    await traces.effects(recording, 1, 120);
    const [effect] = await traces.of(recording, 'effect');
    expect(effect!.attempt).toBe(2);
    await pods.none();
  });

  test('a deadline wakes a pod from zero, which reports the set', async () => {
    const { pods, pipeline } = trial();
    const recording = trial().recording();
    await recording.add(1, 'alone', ['eeg']);
    await pods.atLeast(1);
    await trial().delivered();
    await pods.none();
    const isReport = ({ id, type }: { id: string; type: string }) =>
      type === 'muster.set.overdue' && id.includes(recording.id);
    expect(pipeline.sink.events.filter(isReport)).toEqual([]);
    await eventually('overdue, and published', () => pipeline.sink.events.some(isReport), 150);
    await pods.none();
    expect(pipeline.sink.events.filter(isReport).length).toBe(1);
  });
}

/** The value in overlay/scaled-object.yaml. */
const MOST = 6;
const COOLDOWN_S = 10;
