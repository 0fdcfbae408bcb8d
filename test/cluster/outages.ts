import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Load } from './load.ts';
import { eventually, say } from './say.ts';
import type { Trial } from './trial.ts';

/** What happens while something that pods need is away. */
export function outages(trial: () => Trial): void {
  test('with PostgreSQL away for a minute under load, everything is done when it is back', async () => {
    const { pods, road, traces } = trial();
    const recording = trial().recording();
    const load = new Load(recording, 20, 'sleep 500');
    await traces.effects(recording, 40, 90);
    const { restarts } = pods;
    await road.state.stop();
    say('PostgreSQL is away');
    await sleep(60_000);
    say(`lag ${await trial().lag()}; ScaledObject: ${await trial().conditions()}`);
    await road.state.restart();
    say('PostgreSQL is back');
    const added = await load.stop();
    await traces.effects(recording, added, 240);
    await trial().delivered();
    expect(pods.restarts).toBe(restarts);
  });

  test('with Kafka away for a minute, a handler that runs goes on, and what comes meanwhile is done later', async () => {
    const { pods, road, traces } = trial();
    const [long, meanwhile] = [trial().recording(), trial().recording()];
    await long.add(1, 'sleep 45000');
    await eventually(
      'a long handler runs',
      async () => (await traces.count(long, 'started')) === 1,
      60,
    );
    const { restarts } = pods;
    await road.broker.kill();
    say('Kafka is away');
    const load = new Load(meanwhile, 20, 'sleep 100');
    await sleep(60_000);
    expect(await traces.of(long, 'effect')).toEqual(await traces.of(long, 'started'));
    say(`the long handler has ended; ScaledObject: ${await trial().conditions()}`);
    await road.broker.restart();
    say('Kafka is back');
    const added = await load.stop();
    await traces.effects(meanwhile, added, 240);
    await trial().delivered();
    expect(pods.restarts).toBe(restarts);
  });

  test('with the sink away, what handlers gave back waits, and keeps no more than one pod', async () => {
    const { pods, road, traces } = trial();
    await pods.none();
    pods.forget();
    const recording = trial().recording();
    const published = () => road.sink.events.filter(({ id }) => id.includes(recording.id)).length;
    road.sink.isAway = true;
    await recording.add(10, 'to publish');
    await traces.effects(recording, 10, 60);
    await sleep(30_000);
    expect([published(), pods.peak]).toEqual([0, 1]);
    road.sink.isAway = false;
    say('the sink is back');
    await eventually('10 events are published', () => published() >= 10, 120, published);
    await pods.none();
    expect([published(), pods.peak]).toEqual([10, 1]);
  });

  test('while nobody scales, events wait at zero; then they are done', async () => {
    const { pods, traces } = trial();
    await pods.none();
    await trial().pauseScaling(true);
    const recording = trial().recording();
    await recording.add(5, 'nobody is there');
    await sleep(30_000);
    expect([pods.present, await trial().lag()]).toEqual([[], 10]);
    await trial().pauseScaling(false);
    say('KEDA scales again');
    await traces.effects(recording, 5, 120);
    await trial().delivered();
  });
}
