import { AxeBuilder } from '@axe-core/playwright';
import { expect, vi } from 'vitest';
import type { FunctionsAnswer } from '../../src/console/api-answers.ts';
import { change } from '../support/changes.ts';
import { consoleOn } from '../support/console.ts';
import { event } from '../support/events.ts';
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
  for (const each of [partA('1'), partB('1'), partA('2'), partB('2'), partA('3')]) {
    await worker.ingestor.ingest(each);
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
    ignored: [],
    countedTo: 1000,
    sendPage: null,
  });
});

test('what is ignored is in the API and on the start page, with what was probably meant', async ({
  db,
  open,
}) => {
  const { ingestor, database } = await workerOn(db, [pairOf()]);
  await ingestor.ingest(change('c', 1, {}, { stream: 'public.items' }));
  for (let i = 0; i < 30; i++) await ingestor.ingest(event(`com.shop.${i % 25}`, {}));
  await ingestor.ignored.write(database);
  await db.query(`update muster.ignored set count = 12034 where kind = 'table'`);
  const { url } = await consoleOn(db);
  const { ignored } = (await (await fetch(`${url}/api/functions`)).json()) as FunctionsAnswer;
  expect(ignored).toHaveLength(20);
  expect(ignored[0]).toEqual({
    kind: 'table',
    name: 'public.items',
    count: 12034,
    lastAt: expect.stringMatching(/^\d{4}-.*Z$/) as string,
    source: '/test',
    note: 'did you mean public.item, which pair names?',
  });
  const page = await open(url, { viewport: { width: 360, height: 740 }, locale: 'en-US' });
  await until(async () => (await page.locator('#status').textContent()) === 'Live', 60_000);
  expect(await page.locator('#ignored li').count()).toBe(5);
  expect(await page.locator('#ignored li').first().innerText()).toMatch(
    /^12,034 changes of the table public\.items from \/test, the last .*: did you mean public\.item, which pair names\?$/,
  );
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id }) => id)).toEqual([]);
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
