import { expect, vi } from 'vitest';
import { consoleOn } from '../support/console.ts';
import { test } from '../support/page.ts';
import { until } from '../support/until.ts';

/** A long timeout, because the browser shares the machine with other tests. */
vi.setConfig({ testTimeout: 180_000 });

test('the documentation can send requests from the browser', async ({ db, open }) => {
  const { url } = await consoleOn(db);
  const page = await open(`${url}/api/docs/`);
  await page.locator('#operations-travelers-getTravelersMetrics button').first().click();
  await page.getByRole('button', { name: 'Execute' }).click();
  const answered = page.locator('.live-responses-table .response-col_status').last();
  await until(async () => (await answered.textContent())?.startsWith('200'), 60_000);
  expect(page.said).toEqual([]);
});
