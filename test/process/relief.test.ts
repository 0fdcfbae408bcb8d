import { expect, test } from 'vitest';
import { Relief } from '../../src/process/relief.ts';
import { Unavailable } from '../../src/state/outcome.ts';
import { partA } from '../support/pair.ts';

const HOUR_MS = 3_600_000;
const never = new Promise<never>(() => {});

test('a relief is due at the first event', async () => {
  const relief = new Relief([], HOUR_MS);
  const due = relief.isDue(never);
  const held = relief.ingest(partA()).catch((error: unknown) => error);
  await due;
  relief.refuse(new Unavailable('draining', 'the process stops'));
  expect(await held).toMatchObject({ name: 'Unavailable', reason: 'draining' });
});

test('an event is held for a limited time and then refused for a retry', async () => {
  const relief = new Relief([], HOUR_MS, 10);
  await expect(relief.ingest(partA())).rejects.toMatchObject({
    name: 'Unavailable',
    reason: 'database',
  });
});
