import { expect } from 'vitest';
import { deliver, envelope } from '../support/sender.ts';
import type { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { begun, doneAndSent, test } from './test.ts';

/** Delivers both parts of a set, one after the other. */
async function complete(pod: TestProcess, k: string): Promise<void> {
  await deliver(() => pod.url, envelope('c', 1, { id: `${k}a`, k, kind: 'a' }));
  await deliver(() => pod.url, envelope('c', 2, { id: `${k}b`, k, kind: 'b' }));
}

test('a process that is paused past its lease and wakes up commits nothing', async ({
  db,
  chaos,
}) => {
  const open = await chaos.hold('gated');
  const sleeper = await chaos.launch().serving();
  await complete(sleeper, 'gated');
  await begun(db, 1);
  sleeper.kill('SIGSTOP');
  const heir = await chaos.launch().serving();
  await doneAndSent(db, 1);
  await open();
  sleeper.kill('SIGCONT');
  await until(() => metric(sleeper, 'muster_runs_total{function="pair",outcome="fenced"} 1'));

  expect(await chaos.traces('started')).toEqual([
    { run: 'pair/gated/1', attempt: 1, pid: sleeper.pid },
    { run: 'pair/gated/1', attempt: 2, pid: heir.pid },
  ]);
  expect(await chaos.traces('effect')).toEqual([
    { run: 'pair/gated/1', attempt: 2, pid: heir.pid },
  ]);
  expect(chaos.sink.ids).toEqual(['pair/gated/1/0']);
});

test('nothing is committed once another process holds the run, even if the first one does not know', async ({
  db,
  chaos,
}) => {
  const keys = ['gated', 'gated without writes'];
  const open = await Promise.all(keys.map((k) => chaos.hold(k, 1)));
  const openHeir = await Promise.all(keys.map((k) => chaos.hold(k, 2)));
  // The lease is renewed every 200 s, so that only the fence prevents a second effect.
  const unaware = await chaos.launch({ LEASE_SECONDS: '600' }).serving();
  for (const k of keys) await complete(unaware, k);
  await begun(db, 2);
  await db.query(`update muster.worker set lease_until = now() - interval '1 second'`);
  const heir = await chaos.launch().serving();
  await begun(db, 4);
  await Promise.all(open.map((each) => each()));
  await until(() => metric(unaware, 'muster_runs_total{function="pair",outcome="fenced"} 2'));
  expect(await chaos.traces('effect')).toEqual([]);
  expect(await db.query('select from muster.outbox')).toEqual([]);
  expect(await db.query('select distinct state from muster.run')).toEqual([{ state: 'running' }]);

  await Promise.all(openHeir.map((each) => each()));
  await doneAndSent(db, 2);
  expect(await chaos.traces('effect')).toEqual([
    { run: 'pair/gated/1', attempt: 2, pid: heir.pid },
  ]);
  expect(chaos.sink.ids.toSorted()).toEqual(['pair/gated without writes/1/0', 'pair/gated/1/0']);
});

test('a handler that takes many times its lease runs once, although another process has free slots', async ({
  db,
  chaos,
}) => {
  const open = await chaos.hold('gated');
  const patient = await chaos.launch().serving();
  await chaos.launch().serving();
  await complete(patient, 'gated');
  await begun(db, 1);
  await until(
    async () =>
      (
        await db.query(
          `select from muster.run where state = 'running' and now() > started_at + interval '3 seconds'`,
        )
      ).length === 1,
  );
  await open();
  await doneAndSent(db, 1);
  const run = { run: 'pair/gated/1', attempt: 1, pid: patient.pid };
  expect(await chaos.traces('started')).toEqual([run]);
  expect(await chaos.traces('effect')).toEqual([run]);
});

async function metric(pod: TestProcess, line: string): Promise<boolean> {
  const text = await (await fetch(`${pod.url}/metrics`)).text();
  return text.split('\n').includes(line);
}
