import { AxeBuilder } from '@axe-core/playwright';
import { expect, vi } from 'vitest';
import type { FunctionsAnswer } from '../../src/console/api-answers.ts';
import { consoleOn } from '../support/console.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { test } from '../support/page.ts';
import { workerOn } from '../support/worker.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

/** A long timeout, because the browser shares the machine with other tests. */
vi.setConfig({ testTimeout: 180_000 });

/** A function with two complete sets, one of which failed, and one that is overdue. */
async function given(db: TestDatabase) {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 minute' })]);
  for (const change of [partA('1'), partB('1'), partA('2'), partB('2'), partA('3')]) {
    await worker.ingestor.ingest(change);
  }
  await db.query("update muster.run set state = 'failed', finished_at = now() where key = '2'");
  // One set is overdue; another one was, but is complete now.
  await db.query(
    "insert into muster.overdue (function, key_hash, due_at) select id, muster.key_hash(unnest('{1,3}'::text[])), now() from muster.function",
  );
}

test('the API returns the state of each function, and the parked events', async ({ db }) => {
  await given(db);
  await db.query(
    "insert into muster.parked (digest, reason, detail, attributes, body) values ('x', 'not-a-change', '', '{}', '')",
  );
  const { url } = await consoleOn(db);
  const response = await fetch(`${url}/api/functions`);
  expect((await response.json()) as FunctionsAnswer).toEqual({
    functions: [
      {
        name: 'pair',
        page: null,
        topic: null,
        paused: false,
        generation: 1,
        running: 0,
        due: 1,
        failed: 1,
        overdue: 1,
        unsent: 0,
      },
    ],
    parked: 1,
    countedTo: 1000,
    sendPage: null,
  });
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`the start page shows them, in ${colorScheme}, and axe finds no violations`, async ({
    db,
    open,
  }) => {
    await given(db);
    const { url } = await consoleOn(db);
    const page = await open(url, { colorScheme, viewport: { width: 360, height: 740 } });
    await until(async () => (await page.locator('#status').textContent()) === 'Live', 60_000);
    expect(await page.locator('.function dl').innerText()).toMatch(/Failed\s+1\s+Overdue\s+1/);
    expect(await page.getByText('muster sets pair --failed').isVisible()).toBe(true);
    expect(await page.locator('#parked').textContent()).toBe(
      'Nothing is parked: every event was understood.',
    );
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations.map(({ id }) => id)).toEqual([]);
    expect(page.said).toEqual([]);
  });
}
