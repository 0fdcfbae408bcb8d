import { expect } from 'vitest';
import { deliver, envelope } from '../support/sender.ts';
import type { TestProcess } from '../support/process.ts';
import { until } from '../support/until.ts';
import { begun, doneAndSent, test } from './test.ts';

async function complete(pod: TestProcess, k: string, table = 'public.item'): Promise<void> {
  for (const [i, kind] of ['a', 'b'].entries()) {
    await deliver(() => pod.url, envelope('c', i + 1, { id: `${k} ${kind}`, k, kind }, table));
  }
}

async function metric(pod: TestProcess, line: RegExp): Promise<boolean> {
  return line.test(await (await fetch(`${pod.url}/metrics`)).text());
}

for (const kind of ['rejection', 'exception']) {
  test(`a stray ${kind} of a handler fails its attempt, not the process`, async ({ db, chaos }) => {
    const key = `floating ${kind}`;
    const open = await chaos.hold('gated');
    const pod = await chaos.launch().serving();
    await complete(pod, 'gated');
    await complete(pod, key, 'public.bounded');
    await until(
      async () => (await db.query(`select from muster.run where state = 'failed'`)).length === 1,
    );
    expect(
      await db.query(`select key, attempt, error from muster.run where state = 'failed'`),
    ).toEqual([{ key, attempt: 2, error: `Error: left by ${key}` }]);
    await open();
    await doneAndSent(db, 1);
    expect(pod.hasExited).toBe(false);
    expect((await chaos.traces('started')).filter(({ run }) => run.includes('gated'))).toEqual([
      { run: 'pair/gated/1', attempt: 1, pid: pod.pid },
    ]);
    expect(
      await metric(
        pod,
        new RegExp(`muster_stray_errors_total{kind="${kind}",function="bounded"} 2`),
      ),
    ).toBe(true);
    pod.kill('SIGTERM');
    expect(await pod.exited).toEqual({ code: 0, signal: null });
  });
}

test('a handler that blocks the event loop for longer than its lease keeps the lease, as do other runs of the process', async ({
  db,
  chaos,
}) => {
  const open = await chaos.hold('gated');
  const pod = await chaos.launch().serving();
  const other = await chaos.launch().serving();
  await complete(pod, 'gated');
  await begun(db, 1);
  await complete(pod, 'blocker');
  await begun(db, 2);
  await until(
    async () =>
      (await db.query(`select from muster.run where key = 'blocker' and state = 'done'`)).length ===
      1,
  );
  await open();
  await doneAndSent(db, 2);
  expect(await chaos.traces('started')).toEqual([
    { run: 'pair/blocker/1', attempt: 1, pid: pod.pid },
    { run: 'pair/gated/1', attempt: 1, pid: pod.pid },
  ]);
  const said = pod.log.map(({ msg }) => String(msg));
  expect(said.some((msg) => msg.includes('a thread renews the leases'))).toBe(true);
  expect(pod.log).toContainEqual(
    expect.objectContaining({ msg: 'a handler blocked the event loop', functions: ['pair'] }),
  );
  expect(await metric(pod, /muster_loop_blocked_seconds_total{function="pair"} [23]\./)).toBe(true);
  expect(other.hasExited).toBe(false);
});

test('a handler that blocks the event loop forever loses its lease after its timeout', async ({
  db,
  chaos,
}) => {
  const pod = await chaos.launch().serving();
  await chaos.launch().serving();
  await complete(pod, 'blocker for ever', 'public.brief');
  await begun(db, 1);
  // the other process also starts it, and is blocked too
  const by = async () => new Set((await chaos.traces('started')).map(({ pid }) => pid)).size;
  await until(async () => (await by()) === 2);
  expect(pod.log.map(({ msg }) => String(msg)).join()).toContain(
    'leases of this process are no longer renewed',
  );
});
