import { AxeBuilder } from '@axe-core/playwright';
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { expect, vi } from 'vitest';
import { usableLocale } from '../../../../src/console/browser/locale.ts';
import { freePort } from '../../../../src/local/port.ts';
import { consoleOn } from '../../../support/console.ts';
import { test } from '../../../support/page.ts';
import type { TestDatabase } from '../../../support/test.ts';
import { until } from '../../../support/until.ts';
import { streamOn } from '../stream.ts';
import { street } from '../street.ts';

/** A long timeout, because the browser shares the machine with other tests. */
vi.setConfig({ testTimeout: 180_000 });

const SECOND = 1_000;
const PATIENCE = 60_000;

/** Starts a console with two sensors and samples of the last two minutes. */
async function given(db: TestDatabase, port = 0) {
  const stream = await streamOn(db);
  const now = Date.now();
  const samples = street([17, 18], now - 120 * SECOND, now, { everySeconds: 1 });
  await stream.give(0, samples);
  await stream.settled();
  const server = await consoleOn(db, { port });
  /** Adds more travelers up to now. */
  let last = now;
  const goOn = async () => {
    const to = Date.now();
    await stream.give(0, street([17, 18], last, to, { everySeconds: 1, seed: to % 1000 }));
    await stream.settled();
    last = to;
  };
  return { stream, samples, now, url: `${server.url}/travelers/`, stop: () => server.stop(), goOn };
}

const status = (page: Page) => page.locator('#status').textContent();
/** Opens the table, which is filled a moment later. */
async function openNumbers(page: Page): Promise<void> {
  await page.getByText('Show all numbers').click();
  await until(async () => (await page.locator('tbody tr').count()) > 0);
}

const figure = (page: Page, type: string) =>
  page.locator(`[data-type=${type}] .figure`).textContent();

test('the form leads to charts, live updates and CSV', async ({ db, open }) => {
  const { url, goOn } = await given(db);
  const page = await open(url);
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  expect(await page.locator('#sensor option').allTextContents()).toEqual([
    'All 2 sensors',
    'Sensor 17',
    'Sensor 18',
  ]);
  expect(await page.locator('.plot canvas').count()).toBe(4);
  const before = Number(await figure(page, 'vehicle').then((text) => /^\d+/.exec(text!)?.[0]));
  expect(before).toBeGreaterThan(0);

  // Live updates.
  const title = await page.locator('#now-title').textContent();
  await until(async () => {
    await goOn();
    return (await page.locator('#now-title').textContent()) !== title;
  }, PATIENCE);

  // One sensor, one type: the address contains them, so the page can be reloaded.
  await page.getByLabel('Sensor').selectOption('17');
  await page.getByLabel('Type').selectOption('bicyclist');
  await page.getByText('km/h', { exact: true }).click();
  await until(async () => (await page.locator('.plot canvas').count()) === 2);
  expect(new URL(page.url()).search).toBe('?sensor=17&type=bicyclist&unit=km%2Fh');
  const again = await open(page.url());
  await until(async () => (await status(again)) === 'Live', PATIENCE);
  expect(await again.getByLabel('Sensor').inputValue()).toBe('17');
  expect(await again.locator('.plot canvas').count()).toBe(2);
  await again.goBack();

  // The table and the file contain the same windows.
  await openNumbers(page);
  const download = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Download CSV' }).click();
  const file = await readFile(await (await download).path(), 'utf8');
  const lines = file.trimEnd().split('\r\n');
  expect(lines[0]).toMatch(/^window_start,window_end,sensor,type,present,/);
  expect(lines.slice(1).every((line) => line.includes(',17,bicyclist,'))).toBe(true);
  expect(lines.length).toBeGreaterThan(10);
  expect(page.said).toEqual([]);
});

test("a range shows the API's numbers, and marks no final window as provisional", async ({
  db,
  open,
}) => {
  const { url, stream, now } = await given(db);
  await stream.finish((now + SECOND) * 1000);
  const [from, to] = [now - 90 * SECOND, now - 30 * SECOND];
  const page = await open(`${url}?from=${local(from)}&to=${local(to)}&step=10s`);
  await until(async () => (await status(page)) === '6 windows');
  await openNumbers(page);
  const rows = await page.locator('tbody tr').allTextContents();
  expect(rows).toHaveLength(18);
  expect(rows.every((row) => row.endsWith('final'))).toBe(true);
  const api = new URL('../api/travelers/metrics', url);
  api.search = `from=${new Date(Math.floor(from / 1000) * 1000).toISOString()}&to=${new Date(Math.floor(to / 1000) * 1000).toISOString()}&step=10s&group=type`;
  const { series } = (await (await fetch(api)).json()) as { series: { present: number[] }[] };
  const counts = await page.locator('tbody tr td:nth-child(3)').allTextContents();
  expect(counts).toEqual(
    [5, 4, 3, 2, 1, 0].flatMap((i) => series.map((each) => String(each.present[i]))),
  );
  expect(page.said).toEqual([]);
});

test('a gap in the samples is shown as a gap, and a range without samples is reported', async ({
  db,
  open,
}) => {
  const { url } = await given(db);
  const page = await open(`${url}?from=2026-01-01T00:00&to=2026-01-01T01:00&step=1h`);
  await until(async () => (await status(page)) === 'Empty');
  expect(await page.locator('#message').textContent()).toBe(
    'Nothing was heard from these sensors in this period.',
  );
  await openNumbers(page);
  expect((await page.locator('tbody tr').allTextContents())[0]).toMatch(/–.*not heard$/);
});

test('errors of the API are shown at the field', async ({ db, open }) => {
  const { url } = await given(db);
  const page = await open(`${url}?sensor=99`);
  await until(async () => (await status(page)) === 'Error');
  const sensor = page.getByLabel('Sensor');
  expect(await sensor.getAttribute('aria-invalid')).toBe('true');
  expect(await page.locator('#sensor-error').textContent()).toBe(
    'sensor 99 is unknown: it has not been heard yet',
  );
  await sensor.selectOption('18');
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  expect(await sensor.getAttribute('aria-invalid')).toBe(null);
});

for (const colorScheme of ['light', 'dark'] as const) {
  test(`axe finds no violations in ${colorScheme}, on a desktop, on a phone, with the table open, disconnected`, async ({
    db,
    open,
  }) => {
    const { url, stop } = await given(db);
    // Few rows: axe takes 15 ms for each cell.
    const few = `${url}?last=5m&step=1m`;
    const desk = await open(few, { colorScheme });
    const phone = await open(few, { colorScheme, viewport: { width: 360, height: 740 } });
    for (const page of [desk, phone]) {
      await until(async () => (await status(page)) === 'Live', PATIENCE);
      await openNumbers(page);
      await settled(page);
      expect(await violations(page)).toEqual([]);
    }
    await stop();
    await until(async () => (await status(desk)) === 'Disconnected', PATIENCE);
    await settled(desk);
    expect(await violations(desk)).toEqual([]);
  });
}

test('a phone of 360 px shows everything without scrolling sideways', async ({ db, open }) => {
  const { url } = await given(db);
  const page = await open(url, { viewport: { width: 360, height: 740 }, hasTouch: true });
  for (const search of [
    '',
    '?from=2026-11-01T00:00&to=2026-11-01T02:00',
    '?unit=km/h&type=vehicle',
  ]) {
    await page.goto(url + search);
    await until(async () => ['Live', 'Empty'].includes((await status(page)) ?? ''));
    await openNumbers(page);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);
  }
});

test('the keyboard reaches everything, and reads a chart window by window', async ({
  db,
  open,
}) => {
  const { url } = await given(db);
  const page = await open(url);
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  const reached: string[] = [];
  for (let i = 0; i < 40; i++) {
    await page.keyboard.press('Tab');
    const name = await page.evaluate<string>(
      `(() => { const e = document.activeElement; return e.id || e.className || e.tagName; })()`,
    );
    reached.push(name);
    if (name === 'BODY') break;
  }
  expect(reached).toEqual([
    'skip',
    'sensor',
    'type',
    'live',
    'last',
    'step',
    'window',
    'present',
    'plot',
    'ft/s',
    'plot',
    'plot',
    'plot',
    'csv',
    'SUMMARY',
    'A',
    'A',
    'BODY',
  ]);

  await page.locator('.plot').first().focus();
  await page.keyboard.press('End');
  const last = await page.locator('#announcer').textContent();
  expect(last).toMatch(
    /^\d\d:\d\d:\d\d · Pedestrians \d+ · Bicyclists \d+ · Vehicles \d+ · provisional$/,
  );
  await page.keyboard.press('ArrowLeft');
  expect(await page.locator('#announcer').textContent()).not.toBe(last);
  await page.keyboard.press('Home');
  expect(await page.locator('#announcer').textContent()).toMatch(/^\d\d:\d\d:\d\d · not heard$/);
});

test('without the server the page reports it, keeps its numbers, and reconnects', async ({
  db,
  open,
}) => {
  const port = await freePort();
  const { url, stop } = await given(db, port);
  const page = await open(url);
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  const shown = await figure(page, 'pedestrian');
  await stop();
  await until(async () => (await status(page)) === 'Disconnected', PATIENCE);
  expect(await page.locator('#message').textContent()).toMatch(/^The console does not answer\./);
  expect(await figure(page, 'pedestrian')).toBe(shown);
  await consoleOn(db, { port });
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  expect(await page.locator('#message').isVisible()).toBe(false);
});

test('a browser whose clock is an hour ahead shows the same', async ({ db, open }) => {
  const { url } = await given(db);
  const page = await open('about:blank');
  await page.clock.setSystemTime(Date.now() + 3_600_000);
  await page.goto(url);
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  expect(Number(/^\d+/.exec((await figure(page, 'vehicle'))!)?.[0])).toBeGreaterThan(0);
  await page.locator('.plot').first().focus();
  await page.keyboard.press('End');
  expect(await page.locator('#announcer').textContent()).toMatch(/Vehicles \d/);
});

/** Waits for fading animations to finish. */
async function settled(page: Page): Promise<void> {
  await page.evaluate(
    `Promise.all(document.getAnimations().filter((each) => each.effect.getTiming().iterations === 1).map((each) => each.finished))`,
  );
}

async function violations(page: Page): Promise<string[]> {
  const { violations: found } = await new AxeBuilder({ page }).analyze();
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`);
}

/** Formats a time as a form does, in the browser's time zone. */
function local(at: number): string {
  const options = { timeZone: 'Europe/Berlin', dateStyle: 'short', timeStyle: 'medium' } as const;
  return new Intl.DateTimeFormat('sv', options).format(at).replace(' ', 'T');
}

test('a browser without a locale shows the page', async ({ db, open }) => {
  const { url } = await given(db);
  // Chromium's locale is en-US@posix then, which Intl does not accept
  const page = await open(url, { locale: undefined } as object);
  await until(async () => (await status(page)) === 'Live', PATIENCE);
  expect(await page.locator('.plot canvas').count()).toBe(4);
  expect(page.said).toEqual([]);
});

test('a locale that Intl accepts is found for any language of the browser', () => {
  expect(usableLocale(['en-US@posix', 'en-US'])).toBe('en-US');
  expect(usableLocale(['de_DE.UTF-8'])).toBe('de-DE');
  expect(usableLocale(['C', ''])).toBe('en');
  expect(usableLocale(['fr'])).toBe('fr');
});

test('a fast clock is reported with its sensor', async ({ db, open }) => {
  const stream = await streamOn(db);
  const from = Date.now() - 120 * SECOND;
  for (let at = from; at < from + 60 * SECOND; at += SECOND) {
    const right = street([17, 18], at, at + SECOND, { everySeconds: 1, seed: at % 1000 });
    const [fast] = street([19], at + 20 * SECOND, at + 21 * SECOND);
    await stream.give(0, [...right, fast!]);
  }
  await stream.settled();
  const server = await consoleOn(db, { port: 0 });
  const page = await open(`${server.url}/travelers/`);
  const said = () => page.locator('#ahead').textContent();
  await until(async () => /clock of sensor 19 was ahead/.test((await said()) ?? ''), PATIENCE);
});
