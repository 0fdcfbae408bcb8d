import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { Courier } from '../../dev/demo/courier.ts';
import { FunctionProcess } from '../../dev/demo/function-process.ts';
import { freePort } from '../../src/local/port.ts';
import { Readiness } from '../../src/local/readiness.ts';
import { partA } from '../support/pair.ts';
import { test as base } from '../support/test.ts';

interface Stranger {
  /** The number of received requests. */
  readonly requests: string[];
}

const test = base.extend('folder', async ({}, { onCleanup }) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-process-'));
  onCleanup(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
});

/** A server of another process, which accepts every request. */
async function strangerOn(port: number): Promise<Stranger> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    request.resume();
    response.end('ready');
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests };
}

const quiet = { name: 'recordings', say: () => {} };

test("another process's answer is not mistaken for that of the started process", async () => {
  const port = await freePort();
  const stranger = await strangerOn(port);
  const message = `port ${port} is in use by `;
  await expect(new Readiness().at(`http://127.0.0.1:${port}/`)).rejects.toThrow(message);
  expect(stranger.requests).toEqual(['GET /health/readiness']);
});

test.for(['serve', 'console'] as const)(
  'muster %s is not started if another process uses the port',
  async (command, { db, folder }) => {
    const port = await freePort();
    const stranger = await strangerOn(port);
    const starting = FunctionProcess.start({ ...quiet, command, url: db.url, port, folder });
    await expect(starting).rejects.toThrow(`port ${port} is in use by `);
    expect(stranger.requests).toEqual([]);
  },
);

test('a console is ready once it reports so itself', async ({ db, folder }) => {
  const port = await freePort();
  const options = { ...quiet, command: 'console' as const, url: db.url, port, folder };
  const people = await FunctionProcess.start(options);
  await people.stop();
});

test('while a function restarts, no event goes to a process that took its port, and the error names that process', async ({
  db,
  folder,
}) => {
  const port = await freePort();
  const fn = await FunctionProcess.start({ ...quiet, url: db.url, port, folder });
  onTestFinished(() => fn.stop());
  const courier = new Courier(fn, () => {});
  onTestFinished(() => courier.stop());
  const deliver = () => courier.deliver(partA());
  await deliver();

  process.kill(fn.pid!, 'SIGKILL');
  const ended = fn.ready;
  let stranger: Stranger | undefined;
  while (stranger === undefined) stranger = await strangerOn(port).catch(() => undefined);
  while (fn.ready === ended) await new Promise((resolve) => setImmediate(resolve));
  const sent = deliver();
  expect((await fn.failed).message).toContain(`port ${port} is in use by `);
  await expect(sent).rejects.toThrow('is in use by');
  expect(stranger.requests).toEqual([]);
  expect(courier.delivered).toBe(1);
});
