import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { comparison } from './comparison.ts';
import { faults } from './faults.ts';
import { outages } from './outages.ts';
import { restartClock, say } from './say.ts';
import { scaling } from './scaling.ts';
import { Trial } from './trial.ts';

let current: Trial | undefined;
const trial = () => current!;

beforeAll(async () => {
  current = await Trial.start();
}, 1_200_000);
afterAll(() => current?.stop(), 300_000);
beforeEach(async ({ task }) => {
  process.stdout.write(`\n${task.name}\n`);
  restartClock();
  await trial().setUp();
  trial().pods.forget();
}, 300_000);
afterEach(({ task }) => say(task.result?.state === 'fail' ? 'FAILED' : 'passed'));

scaling(trial);
faults(trial);
outages(trial);
comparison(trial);
