import { AxeBuilder } from '@axe-core/playwright';
import { expect, vi } from 'vitest';
import type { ExplanationAnswer, SetsAnswer } from '../../src/console/api-answers.ts';
import { consoleOn } from '../support/console.ts';
import { pairOf, partA, partB } from '../support/pair.ts';
import { test } from '../support/page.ts';
import { workerOn } from '../support/worker.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

/** A long timeout, because the browser shares the machine with other tests. */
vi.setConfig({ testTimeout: 180_000 });

/** A complete set, a failed one, and one that waits for its part b; its key is no plain word. */
async function given(db: TestDatabase) {
  const worker = await workerOn(db, [pairOf({ overdueAfter: '1 minute' })]);
  for (const change of [partA('1'), partB('1'), partA('2'), partB('2'), partA('a/b ?')]) {
    await worker.ingestor.ingest(change);
  }
  await db.query(
    "update muster.run set state = 'failed', finished_at = now(), error = 'no stock' where key = '2'",
  );
}

test('the API lists the sets of a function, and explains one', async ({ db }) => {
  await given(db);
  const { url } = await consoleOn(db);
  const get = async <T>(path: string) => (await (await fetch(url + path)).json()) as T;
  const { sets, limit } = await get<SetsAnswer>('/api/functions/pair/sets');
  expect(sets.map(({ key, status, missing, error }) => ({ key, status, missing, error }))).toEqual(
    expect.arrayContaining([
      { key: '1', status: 'complete', missing: [], error: null },
      { key: '2', status: 'failed', missing: [], error: 'no stock' },
      { key: 'a/b ?', status: 'waiting', missing: [{ part: 'b', have: 0, need: 1 }], error: null },
    ]),
  );
  expect([sets.length, limit]).toEqual([3, 100]);
  const waiting = await get<SetsAnswer>('/api/functions/pair/sets?status=waiting');
  expect(waiting.sets.map(({ key }) => key)).toEqual(['a/b ?']);

  const path = `/api/functions/pair/set?key=${encodeURIComponent('a/b ?')}`;
  expect(await get<ExplanationAnswer>(path)).toMatchObject({
    function: 'pair',
    key: 'a/b ?',
    status: 'waiting',
    missing: ['b'],
    parts: [
      { part: 'a', have: 1, need: 1, rows: [{ id: 'a/b ?-a', state: 'present' }] },
      { part: 'b', have: 0, need: 1, rows: [] },
    ],
    overdue: { reported: false },
    run: null,
    events: [],
  });
  expect(await get('/api/functions/pair/set?key=none')).toMatchObject({ status: 'unknown' });
});

test('an unknown function, and invalid parameters, are reported', async ({ db }) => {
  const { url } = await consoleOn(db);
  const answer = async (path: string) => {
    const response = await fetch(`${url}/api/functions${path}`);
    return [response.status, await response.json()];
  };
  const missing = [404, { error: 'there is no function pear', reason: 'not-found' }];
  expect(await answer('/pear/sets')).toEqual(missing);
  expect(await answer('/pear/set?key=1')).toEqual(missing);
  expect(await answer('/pear/set')).toMatchObject([400, { field: 'key' }]);
  expect(await answer('/pear/sets?status=lost')).toMatchObject([400, { field: 'status' }]);
});

test('the page leads from a function to its sets and to one set, and back', async ({
  db,
  open,
}) => {
  await given(db);
  const { url } = await consoleOn(db);
  const page = await open(url, { viewport: { width: 360, height: 740 } });
  const violations = async () => {
    const found = await new AxeBuilder({ page }).analyze();
    return found.violations.map(({ id }) => id);
  };
  await page.getByRole('link', { name: 'Sets of pair' }).click();
  const table = page.getByRole('table');
  await until(async () => (await table.count()) === 1, 60_000);
  expect(await table.innerText()).toMatch(/2\s+failed\s.*no stock/);
  expect(await violations()).toEqual([]);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);

  await page.getByRole('link', { name: 'a/b ?' }).click();
  const part = page.getByRole('region', { name: 'Part b' });
  await until(async () => (await part.count()) === 1, 60_000);
  expect(await part.innerText()).toMatch(/0 of 1\s+No row\./);
  expect(await page.getByText(/^It has waited for b since .*20\d\d/).isVisible()).toBe(true);
  expect(await violations()).toEqual([]);

  await page.getByRole('link', { name: 'pair' }).click();
  await page.getByLabel('Key').fill('2');
  await page.getByRole('button', { name: 'Explain' }).click();
  await until(async () => (await page.getByText('no stock').count()) === 1, 60_000);
  expect(await page.getByRole('region', { name: 'Run' }).innerText()).toContain('failed');
  await page.getByRole('link', { name: 'All functions' }).click();
  await until(() => page.locator('#overview').isVisible(), 60_000);
  expect(page.said).toEqual([]);
});
