import { expect } from 'vitest';
import { failover } from '../../src/doctor/source/failover.ts';
import { applyRemedies, reportOf, sourceOf as examinedSource } from '../doctor/examination.ts';
import type { TestProcess } from '../support/process.ts';
import { readyToFailOver, replicatedSource } from '../support/replicated-source.ts';
import { until } from '../support/until.ts';
import { caughtUp } from '../support/wal.ts';
import { compare, hasLogged, load, READING, sourceOf, WAITING } from './reading.ts';
import { test } from './test.ts';

/** Resolves when more sets are written. */
async function more(writing: { readonly sets: number }): Promise<void> {
  const goal = writing.sets + 50;
  await until(() => writing.sets > goal);
}

async function readiness({ url }: TestProcess): Promise<string> {
  const response = await fetch(`${url}/health/readiness`);
  return `${response.status} ${await response.text()}`;
}

test('a source that fails over under load is read on: nothing is lost, nothing runs twice', async ({
  db,
  chaos,
}) => {
  const source = await replicatedSource();
  const { primary, survivor, address } = source;
  const settings = { ...(await sourceOf(primary)), SOURCE_DATABASE_URL: address.url };
  const slot = settings.WAL_SLOT;
  const first = chaos.launch(settings);
  await until(() => hasLogged(first, READING), 30_000);
  const second = await chaos.launch(settings).serving();
  await until(() => hasLogged(second, WAITING), 30_000);
  const before = await examinedSource(primary, [], { slot, reader: 'muster' });
  await readyToFailOver(source, before);

  const writing = load(address);
  await more(writing);
  await source.kill();
  first.kill('SIGKILL');
  await until(() => writing.lost > 0);
  await source.promote();

  // The new primary waits for a standby, too, and has none yet.
  const cause = 'the standby of the slot standby has it, and that is not connected';
  await until(async () => (await readiness(second)).includes(cause), 30_000);
  const { done: held } = await compare(survivor, db);
  await more(writing);
  expect((await compare(survivor, db)).done).toBe(held);
  const after = await examinedSource(survivor, [], { slot, reader: 'muster' });
  expect(await reportOf(failover, after)).toEqual([`✗ no change is sent before ${cause}`]);
  await applyRemedies(failover, after, survivor);
  await until(async () => (await readiness(second)) === '200 ready');
  await more(writing);
  const sets = await writing.stop();

  await until(async () => (await compare(survivor, db)).lost === 0, 40_000);
  await caughtUp(survivor, slot);
  const { done, ...faults } = await compare(survivor, db);
  expect(faults).toEqual({ lost: 0, twice: 0 });
  expect(done).toBeGreaterThanOrEqual(sets);
  expect(hasLogged(second, 'reading the rows of tables')).toBe(false);
}, 120_000);
