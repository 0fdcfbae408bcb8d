import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Load } from './load.ts';
import { eventually, say } from './say.ts';
import type { Trial } from './trial.ts';

/** Scenes in which something that pods depend on is down. */
export function outages(trial: () => Trial): void {
  test('a PostgreSQL outage of a minute under load delays sets and loses none', async () => {
    const { pods, pipeline, traces } = trial();
    const recording = trial().recording();
    const load = new Load(recording, 20, 'sleep 500');
    await traces.effects(recording, 40, 90);
    const { restarts } = pods;
    await pipeline.state.stop();
    say('PostgreSQL is down');
    await sleep(60_000);
    say(`lag ${await trial().lag()}; ScaledObject: ${await trial().conditions()}`);
    await pipeline.state.restart();
    say('PostgreSQL is back');
    const added = await load.stop();
    await traces.effects(recording, added, 240);
    await trial().delivered();
    expect(pods.restarts).toBe(restarts);
  });

  test('during a Kafka outage of a minute a running handler continues, and new sets run afterwards', async () => {
    const { pods, pipeline, traces } = trial();
    const [long, during] = [trial().recording(), trial().recording()];
    await long.add(1, 'sleep 45000');
    await eventually(
      'a long handler runs',
      async () => (await traces.count(long, 'started')) === 1,
      60,
    );
    const { restarts } = pods;
    await pipeline.broker.kill();
    say('Kafka is down');
    const load = new Load(during, 20, 'sleep 100');
    await sleep(60_000);
    expect(await traces.of(long, 'effect')).toEqual(await traces.of(long, 'started'));
    say(`the long handler has finished; ScaledObject: ${await trial().conditions()}`);
    await pipeline.broker.restart();
    say('Kafka is back');
    const added = await load.stop();
    await traces.effects(during, added, 240);
    await trial().delivered();
    expect(pods.restarts).toBe(restarts);
  });

  test('while the sink is down, returned events wait and keep at most one pod running', async () => {
    const { pods, pipeline, traces } = trial();
    await pods.none();
    pods.forget();
    const recording = trial().recording();
    const published = () =>
      pipeline.sink.events.filter(({ id }) => id.includes(recording.id)).length;
    pipeline.sink.isAway = true;
    await recording.add(10, 'to publish');
    await traces.effects(recording, 10, 60);
    await sleep(30_000);
    expect([published(), pods.peak]).toEqual([0, 1]);
    pipeline.sink.isAway = false;
    say('the sink is back');
    await eventually('10 events are published', () => published() >= 10, 120, published);
    await pods.none();
    expect([published(), pods.peak]).toEqual([10, 1]);
  });

  test('without KEDA, events wait at zero pods, and their sets run once it is back', async () => {
    const { pods, traces } = trial();
    await pods.none();
    await trial().pauseScaling(true);
    const recording = trial().recording();
    await recording.add(5, 'no pod is running');
    await sleep(30_000);
    expect([pods.present, await trial().lag()]).toEqual([[], 10]);
    await trial().pauseScaling(false);
    say('KEDA scales again');
    await traces.effects(recording, 5, 120);
    await trial().delivered();
  });
}
