import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { expect, onTestFinished, test as pure } from 'vitest';
import { Headband } from '../../dev/headband/headband.ts';
import { type Action, HeadbandPlan } from '../../dev/headband/plan.ts';
import { Random } from '../../dev/lib/random.ts';
import { freshDatabase } from '../support/fresh-database.ts';
import { test, until } from './support/source.ts';

function plan(seed: number, steps: number): (readonly Action[])[] {
  const headbands = new HeadbandPlan(new Random(seed));
  return Array.from({ length: steps }, () => headbands.next());
}

const shapeOf = (steps: (readonly Action[])[]) =>
  steps.map((actions) =>
    actions.map((each) =>
      each.kind === 'insert' ? `${each.signal.sensor} ${each.signal.span}` : each.kind,
    ),
  );
const idsOf = (steps: (readonly Action[])[]) =>
  steps.flat().map((each) => (each.kind === 'insert' ? each.signal.id : ''));

pure('the same seed repeats the same actions on new rows', () => {
  expect(shapeOf(plan(1, 300))).toEqual(shapeOf(plan(1, 300)));
  expect(shapeOf(plan(1, 300))).not.toEqual(shapeOf(plan(2, 300)));
  expect(idsOf(plan(1, 300))).not.toEqual(idsOf(plan(1, 300)));
});

pure(
  'every step adds one signal; signals arrive in either order, apart, late, never or twice, and are deleted',
  () => {
    const steps = plan(1, 3000);
    expect(
      steps.every((actions) => actions.filter(({ kind }) => kind === 'insert').length === 1),
    ).toBe(true);

    const spans = new Map<string, { sensor: string; step: number }[]>();
    const recordings = new Map<string, Set<string>>();
    const count = { update: 0, delete: 0 };
    for (const [step, actions] of steps.entries()) {
      for (const action of actions) {
        if (action.kind !== 'insert') count[action.kind] += 1;
        if (action.kind !== 'insert' || action.signal.sensor === 'ecg') continue;
        const { recording, span, sensor } = action.signal;
        const key = `${recording} ${span}`;
        spans.set(key, [...(spans.get(key) ?? []), { sensor, step }]);
        recordings.set(recording, (recordings.get(recording) ?? new Set()).add(span));
      }
    }
    const settled = [...spans.values()].filter(([first]) => first!.step < 2500);
    const share = (fits: (signals: { sensor: string; step: number }[]) => boolean) =>
      settled.filter(fits).length / settled.length;
    expect(share(([first]) => first?.sensor === 'eeg')).toBeGreaterThan(0.4);
    expect(share(([first]) => first?.sensor === 'accelerometer')).toBeGreaterThan(0.4);
    expect(share((signals) => signals.length === 1)).toBeGreaterThan(0.005);
    expect(share((signals) => signals.at(-1)!.step - signals[0]!.step > 80)).toBeGreaterThan(0.05);
    expect(count.update).toBeGreaterThan(100);
    expect(count.delete).toBeGreaterThan(100);
    expect([...recordings.values()].filter((each) => each.size > 1).length).toBeGreaterThan(100);
  },
);

test('signals are stored with data that match their channels', async ({ url, client }) => {
  const headband = await Headband.start({ url, rate: 2000, seed: 1 });
  await until(() => headband.signals >= 100);
  await headband.stop();

  const { rows } = await client.query(
    `select sensor_type, channels, sample_unit, sample_type::text, sample_rate,
            bool_and(length(data) % (4 * cardinality(channels)) = 0) as fits, bool_or(length(data) > 2000) as long
     from datastore.signal where sensor_type <> 'ecg' group by 1, 2, 3, 4, 5 order by 1`,
  );
  const common = { sample_type: 'float32', fits: true, long: true };
  expect(rows).toEqual([
    {
      sensor_type: 'accelerometer',
      channels: ['x', 'y', 'z'],
      sample_unit: 'gforce',
      sample_rate: 50,
      ...common,
    },
    {
      sensor_type: 'eeg',
      channels: ['f7-o1', 'f8-o2', 'f8-f7', 'f8-o1', 'f7-o2'],
      sample_unit: 'microvolt',
      sample_rate: 250,
      ...common,
    },
  ]);
});

pure('headbands that are asked to stop while they start shut down in an orderly way', async () => {
  const { url } = await freshDatabase();
  const [holder, watcher] = [new pg.Client(url), new pg.Client(url)];
  for (const client of [holder, watcher]) {
    await client.connect();
    onTestFinished(() => client.end());
  }
  await holder.query('begin; create schema datastore'); // which blocks theirs
  const main = fileURLToPath(new URL('../../dev/headband/headband.ts', import.meta.url));
  const playing = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', main], {
    env: { PATH: process.env['PATH'], DATABASE_URL: url },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(playing, 'exit');
  const said = playing.stdout.setEncoding('utf8').toArray();
  await until(async () => {
    const waiting = await watcher.query(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    return waiting.rowCount === 1;
  });
  playing.kill('SIGTERM');
  await holder.query('rollback');
  expect(await ended).toEqual([0, null]);
  expect((await said).join('')).toMatch(/\d signals stored\n$/);
});
