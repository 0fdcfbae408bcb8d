import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Load } from './load.ts';
import { eventually, say } from './say.ts';
import type { Trial } from './trial.ts';

/** Scenes in which pods are killed, stopped or replaced. */
export function faults(trial: () => Trial): void {
  test('the sets of a pod that is killed while its handlers run are completed by other pods', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(8, 'sleep 15000');
    await eventually(
      '8 handlers run',
      async () => (await traces.count(recording, 'started')) === 8,
      60,
    );
    const [first] = await traces.of(recording, 'started');
    const killed = first!.pod;
    const lost = await traces.underWay(recording, [killed]);
    await pods.delete([killed], '--force', '--grace-period=0');
    say(`${killed} killed with ${lost} of them`);
    const again = async () => (await traces.count(recording, 'started')) === 8 + lost;
    await eventually(`${lost} start again elsewhere`, again, 60);
    await traces.effects(recording, 8, 60);
    const effects = await traces.of(recording, 'effect');
    expect(effects.filter(({ pod }) => pod === killed)).toEqual([]);
    expect(lost).toBeGreaterThan(0);
  });

  test('stopping all pods at once, with 1,000 events in flight and 50 handlers running, loses nothing', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    await recording.add(600, 'sleep 5000');
    const busy = async () =>
      pods.ready.length >= 4 && (await traces.underWay(recording, pods.ready)) >= 50;
    await eventually('4 pods and 50 handlers', busy, 120);
    await recording.add(1_000, 'sleep 10');
    const isUnderWay = async () => (await trial().lag()) >= 1_000;
    await eventually('1,000 events are in flight', isUnderWay, 30);
    const [lag, running] = [await trial().lag(), await traces.underWay(recording, pods.ready)];
    const stopped = await pods.terminate();
    say(`${stopped.length} pods asked to stop: lag ${lag}, ${running} handlers running`);
    expect(running).toBeGreaterThanOrEqual(50);
    await traces.effects(recording, 1_600, 300);
    await trial().delivered();
    const attempts = await traces.of(recording, 'effect');
    expect(attempts.filter(({ attempt }) => attempt !== 1)).toEqual([]);
  });

  test('a release that does not start leaves the old pods serving', async () => {
    const { pods, traces } = trial();
    const recording = trial().recording();
    const load = new Load(recording, 20, 'sleep 500');
    await traces.effects(recording, 40, 90);
    pods.forget();
    const { restarts } = pods;
    await trial().apply('second', true);
    await eventually('a new pod has failed', () => pods.restarts > restarts, 120);
    await traces.effects(recording, load.added, 60);
    expect(pods.least).toBeGreaterThan(0);
    await trial().apply('first');
    await pods.rolledOut();
    expect(pods.least).toBeGreaterThan(0);
    await traces.effects(recording, await load.stop(), 120);
    await trial().delivered();
  });

  test('a rolling update to another definition under load loses nothing, and the new rule applies', async () => {
    const { pods, traces } = trial();
    const [old, young] = [trial().recording(), trial().recording()];
    const load = new Load(old, 20, 'sleep 500');
    await traces.effects(old, 40, 90);
    pods.forget();
    await trial().apply('second');
    await pods.rolledOut();
    say(`rolled out, with at least ${pods.least} ready`);
    expect(pods.least).toBeGreaterThan(0);
    await young.add(50, 'by the new rule', ['eeg', 'ecg']);
    await sleep(5_000);
    const added = await load.stop();
    await traces.effects(young, 50, 120);
    await traces.effects(old, added, 120);
    await trial().delivered();
    expect(await traces.count(young, 'started')).toBe(50);
    await pods.none(300);
  });
}
