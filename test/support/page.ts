import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import { startChromium } from './chromium.ts';
import { test as base } from './test.ts';

/** Opens a page in a separate context; its console messages are appended to `said`. */
export type OpenPage = (
  url: string,
  options?: BrowserContextOptions,
) => Promise<Page & { readonly said: string[] }>;

/** A test in a real browser; skipped if it can't start, unless REQUIRE_STACK is 1. */
export const test = base
  .extend('browser', { scope: 'worker' }, async ({}, { onCleanup }): Promise<Browser | Error> => {
    try {
      const browser = await startChromium();
      onCleanup(() => browser.close());
      return browser;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  })
  .extend('open', async ({ browser, skip }, { onCleanup }): Promise<OpenPage> => {
    if (browser instanceof Error) {
      if (process.env['REQUIRE_STACK'] === '1') throw browser;
      return skip(`no browser: ${browser.message}`);
    }
    const contexts: BrowserContext[] = [];
    onCleanup(async () => {
      await Promise.all(contexts.map((each) => each.close()));
    });
    return async (url, options) => {
      const context = await browser.newContext({
        locale: 'en-GB',
        timezoneId: 'Europe/Berlin',
        viewport: { width: 1280, height: 900 },
        ...options,
      });
      contexts.push(context);
      const page = await context.newPage();
      const said: string[] = [];
      page.on('console', (message) => {
        if (['error', 'warning'].includes(message.type())) said.push(message.text());
      });
      page.on('pageerror', (error) => said.push(String(error)));
      await page.goto(url);
      return Object.assign(page, { said });
    };
  });
