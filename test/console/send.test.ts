import { AxeBuilder } from '@axe-core/playwright';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { expect, onTestFinished, vi } from 'vitest';
import type { ExamplesAnswer, SendAnswer } from '../../src/console/send/answers.ts';
import { freePort } from '../../src/local/port.ts';
import { consoleOn } from '../support/console.ts';
import { serverOn } from '../support/engine.ts';
import { pairOf } from '../support/pair.ts';
import { test } from '../support/page.ts';
import type { TestDatabase } from '../support/test.ts';
import { until } from '../support/until.ts';

/** A long timeout, because the browser shares the machine with other tests. */
vi.setConfig({ testTimeout: 180_000 });

const ITEM = { table: 'public.item', key: 'k' } as const;

/** Two functions, and the console that sends events to them. */
async function given(db: TestDatabase) {
  const trio = pairOf({
    name: 'trio',
    parts: {
      c: { ...ITEM, where: { kind: "it's" }, count: 2 },
      d: { ...ITEM, where: { kind: 'd' } },
    },
  });
  const server = await serverOn(db, [pairOf(), trio]);
  let stopping: Promise<void> | undefined;
  const stop = () => (stopping ??= server.stop());
  onTestFinished(stop);
  const port = Number(new URL(server.url).port);
  const { url } = await consoleOn(db, { send: { functions: ['pair', 'trio', 'gone'], port } });
  return { url, port, stop };
}

const answerOf = (page: Page) => page.getByRole('region', { name: 'Answer' });

async function answered(page: Page, text: string): Promise<string> {
  await until(async () => {
    const found = answerOf(page);
    return (await found.count()) === 1 && (await found.innerText()).includes(text);
  }, 60_000);
  return answerOf(page).innerText();
}

/** Opens the page from the start page, and waits for the examples. */
async function opened(page: Page & { said: string[] }) {
  await page.getByRole('link', { name: 'Send an event' }).click();
  await until(() => page.getByLabel('Message').isVisible(), 60_000);
  return page;
}

test('the form sends the rows of a set by keyboard alone, and links to the explained set', async ({
  db,
  open,
}) => {
  const { url } = await given(db);
  const page = await opened(await open(url, { viewport: { width: 360, height: 740 } }));
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.map(({ id }) => id)).toEqual([]);
  expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(360);

  const message = page.getByLabel('Message');
  const lsn = async () =>
    (JSON.parse(await message.inputValue()) as { source: { lsn: number } }).source.lsn;
  const first = await lsn();
  await page.getByLabel('Function').focus();
  await page.keyboard.press('Tab'); // to the part
  await page.keyboard.press('Tab'); // to the message
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  expect(await answered(page, '200 ingested')).toMatch(/pair, example waiting, without b/);
  expect(await lsn()).toBe(first + 1);

  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('ArrowDown'); // to part b
  await page.getByLabel('Message').press('Tab');
  await page.keyboard.press('Enter');
  await until(async () => !(await answerOf(page).innerText()).includes('without'), 60_000);
  expect((await new AxeBuilder({ page }).analyze()).violations.map(({ id }) => id)).toEqual([]);
  await page.getByRole('link', { name: 'pair, example' }).click();
  const run = page.getByRole('region', { name: 'Run' });
  await until(async () => (await run.count()) === 1, 60_000);
  expect(page.said).toEqual([]);
});

test('a message that can not be understood is parked with its reason, and stays in the form', async ({
  db,
  open,
}) => {
  const { url } = await given(db);
  const page = await opened(await open(url));
  const message = page.getByLabel('Message');
  await message.fill('{ "op": "c", broken');
  await page.getByRole('button', { name: 'Send' }).click();
  expect(await answered(page, '202 parked')).toContain('not-a-change: ');
  expect(await message.inputValue()).toBe('{ "op": "c", broken');
  const parked = await db.query("select convert_from(body, 'utf8') as body from muster.parked");
  expect(parked).toEqual([{ body: '{ "op": "c", broken' }]);

  // Another choice does not lose it either.
  await page.getByLabel('Function').selectOption('trio');
  const parts = await page.getByLabel('Part').locator('option').allInnerTexts();
  expect(parts).toEqual(['c, row 1 of 2', 'c, row 2 of 2', 'd']);
  expect(JSON.parse(await message.inputValue())).toMatchObject({ after: { id: 1, kind: "it's" } });
  await page.getByLabel('Function').selectOption('pair');
  expect(await message.inputValue()).toBe('{ "op": "c", broken');
  await page.getByRole('button', { name: 'Show the example again' }).click();
  expect(JSON.parse(await message.inputValue())).toMatchObject({ op: 'c', after: { kind: 'a' } });
  expect(page.said).toEqual([]);
});

test('the curl line beside the form sends the same message', async ({ db, open }) => {
  const { url, port } = await given(db);
  const permissions = ['clipboard-read', 'clipboard-write'];
  const page = await opened(await open(url, { permissions }));
  await page.getByLabel('Function').selectOption('trio');
  await page.getByRole('button', { name: 'Copy' }).click();
  await until(() => page.getByText('Copied').isVisible());
  const line = await page.evaluate<string>('navigator.clipboard.readText()');
  expect(line).toMatch(/^curl http:\/\/localhost:\d+ .*'$/);
  const ipv4 = line.replace(`localhost:${port}`, `127.0.0.1:${port}`);
  const { stdout } = await promisify(execFile)('sh', ['-c', `${ipv4} -s`]);
  expect(JSON.parse(stdout)).toMatchObject({
    outcome: 'ingested',
    sets: expect.arrayContaining([
      expect.objectContaining({ function: 'trio', key: 'example', status: 'waiting' }),
    ]),
  });
});

test('while the functions do not answer, the form reports it, and the message is kept', async ({
  db,
  open,
}) => {
  const { url, stop } = await given(db);
  const page = await opened(await open(url));
  const message = await page.getByLabel('Message').inputValue();
  await stop();
  await page.getByRole('button', { name: 'Send' }).click();
  expect(await answered(page, 'failed')).toMatch(
    /the functions do not answer at http:\/\/127\.0\.0\.1:\d+\/: connect ECONNREFUSED .*\. They may be reloading: send it again/,
  );
  expect(await page.getByLabel('Message').inputValue()).toBe(message);
});

test('while the console itself reloads, the form reports it, and goes on afterwards', async ({
  db,
  open,
}) => {
  const { port } = await given(db);
  const own = await freePort();
  const options = { port: own, send: { functions: ['pair'], port } };
  const first = await consoleOn(db, options);
  const page = await opened(await open(first.url));
  await first.stop();
  await page.getByRole('button', { name: 'Send' }).click();
  expect(await answered(page, 'failed')).toContain('The console does not answer: ');
  await until(() => page.getByText('Disconnected').isVisible(), 60_000);
  await consoleOn(db, options);
  await until(() => page.getByText('Live', { exact: true }).isVisible(), 60_000);
  await page.getByRole('button', { name: 'Send' }).click();
  await answered(page, '200 ingested');
});

test('only a request that a page of another site can not make is passed on', async ({ db }) => {
  const { url } = await given(db);
  const post = async (type: string, body: string) => {
    const headers = { 'content-type': type };
    const response = await fetch(`${url}/_send/events`, { method: 'POST', headers, body });
    return { status: response.status, body: await response.json() };
  };
  const { functions } = (await (await fetch(`${url}/_send/examples`)).json()) as ExamplesAnswer;
  expect(functions.map(({ name }) => name)).toEqual(['pair', 'trio']);
  const body = JSON.stringify({ message: functions[0]!.examples[0]!.message });
  const unsupported = {
    error: expect.stringContaining('Unsupported Media Type'),
    reason: 'refused',
  };
  const refusals = [
    ['text/plain', 400, { error: 'the body must be object', reason: 'bad-request' }],
    ['application/x-www-form-urlencoded', 415, unsupported],
    ['multipart/form-data', 415, unsupported],
  ] as const;
  for (const [type, status, refusal] of refusals) {
    expect(await post(type, body)).toEqual({ status, body: refusal });
  }
  expect(await db.query('select from muster.member')).toEqual([]);
  const { status, body: answer } = await post('application/json', body);
  expect([status, (answer as SendAnswer).outcome]).toEqual([200, 'ingested']);
});

test('the console of production has no page that sends events', async ({ db, open }) => {
  const { url } = await consoleOn(db);
  for (const [method, path] of [
    ['GET', '/_send/'],
    ['GET', '/_send/examples'],
    ['POST', '/_send/events'],
  ] as const) {
    expect([path, (await fetch(url + path, { method })).status]).toEqual([path, 404]);
  }
  const page = await open(url);
  await until(async () => (await page.locator('#status').textContent()) === 'Live', 60_000);
  expect(await page.getByRole('link', { name: 'Send an event' }).count()).toBe(0);
});
