import { expect } from 'vitest';
import { purgeParked } from '../../../src/state/purge-parked.ts';
import { engineOn } from '../../support/engine.ts';
import { pairOf, partA } from '../../support/pair.ts';
import { workerOn } from '../../support/worker.ts';
import { test } from '../../support/test.ts';
import { until } from '../../support/until.ts';

const DAY_SECONDS = 86_400;

test('parked events are deleted at their age, those of more than one page too, and no younger ones', async ({
  db,
}) => {
  const worker = await workerOn(db, [pairOf()]);
  await db.query(
    `insert into muster.parked (digest, reason, detail, attributes, body, parked_at)
     select int4send(n), 'not-a-change', 'old', '{}', '', now() - interval '91 days' from generate_series(1, 1200) n`,
  );
  await worker.ingestor.park(partA().origin, 'not-a-change', 'young');
  const purges = [1, 2].map(() => purgeParked(worker.database, 90 * DAY_SECONDS));
  const [one, two] = await Promise.all(purges);
  expect(one! + two!).toBe(1200);
  expect(await db.query('select detail from muster.parked')).toEqual([{ detail: 'young' }]);
  expect(await purgeParked(worker.database, 90 * DAY_SECONDS)).toBe(0);
});

test('a process deletes events parked longer ago than PARKED_DAYS, logs and counts them', async ({
  db,
}) => {
  const { database } = await workerOn(db, [pairOf()]);
  await db.query(
    `insert into muster.parked (digest, reason, detail, attributes, body, parked_at)
     select int4send(n), 'not-a-change', 'x', '{}', '', now() - n * interval '1 day' from generate_series(1, 9) n`,
  );
  const engine = await engineOn(db, [pairOf()], { PARKED_DAYS: '4' });
  await until(async () => (await db.query('select from muster.parked')).length === 3);
  await database.close();
  await engine.stop();
});
