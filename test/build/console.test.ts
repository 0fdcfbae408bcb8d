import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { bundleAll } from '../../build/bundle.ts';
import { freePort } from '../../src/local/port.ts';
import { until } from '../support/until.ts';

test('the bundle contains the console, its built pages, and the documentation', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-console-bundle-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  await bundleAll(folder);
  const port = String(await freePort());
  const child = spawn(process.execPath, [join(folder, 'muster.js'), 'console'], {
    env: { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none', HOST: '127.0.0.1', PORT: port },
    cwd: '/',
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stderr.on('data', (chunk) => (said += chunk));
  const url = `http://127.0.0.1:${port}`;
  const answer = async (path: string) => {
    const response = await fetch(url + path);
    return { status: response.status, text: await response.text() };
  };
  await until(async () => {
    if (child.exitCode !== null) throw new Error(said);
    return (await fetch(`${url}/health/liveness`).catch(() => null))?.ok;
  });

  const page = await answer('/travelers/');
  const files = [...page.text.matchAll(/"(page-\w+\.(?:js|css))"/g)].map(([, name]) => name);
  expect(files.map((name) => name!.replace(/^.*\./, ''))).toEqual(['css', 'js']);
  for (const name of files) expect((await answer(`/travelers/${name}`)).status).toBe(200);
  expect((await answer('/')).text).toContain('<title>Muster</title>');
  expect((await answer('/api/docs/')).status).toBe(200);
  expect((await answer('/api/docs/static/swagger-ui-bundle.js')).status).toBe(200);
  expect(JSON.parse((await answer('/api/travelers/sensors')).text)).toMatchObject({
    reason: 'database',
  });
  // The licences include those of packages that only the page uses.
  expect(readFileSync(join(folder, 'NOTICES.txt'), 'utf8')).toMatch(/^uplot \d/m);

  child.kill('SIGTERM');
  expect(await once(child, 'exit')).toEqual([0, null]);
}, 120_000);
