import { connect } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import { test } from '../support/test.ts';
import { until } from '../support/until.ts';
import { musterConsole } from './command.ts';

test('muster console serves until SIGTERM, ends its streams, and exits with 0', async ({ db }) => {
  const console = await musterConsole({ DATABASE_URL: db.url });
  expect((await fetch(`${console.url}/health/readiness`)).status).toBe(200);
  expect((await fetch(`${console.url}/travelers/`)).status).toBe(200);
  const stream = await fetch(`${console.url}/api/travelers/live`);
  expect(stream.status).toBe(200);
  console.kill('SIGTERM');
  await stream.text();
  expect(await console.exited).toEqual({ code: 0, signal: null });
});

test('muster console starts before the database, and is not ready until the database answers', async () => {
  const console = await musterConsole({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' });
  const answer = await fetch(`${console.url}/api/travelers/sensors`);
  expect([answer.status, await answer.json()]).toEqual([
    503,
    {
      error: 'the database does not answer: connect ECONNREFUSED 127.0.0.1:1',
      reason: 'database',
    },
  ]);
  expect((await fetch(`${console.url}/health/readiness`)).status).toBe(503);
  console.kill('SIGTERM');
  expect(await console.exited).toEqual({ code: 0, signal: null });
});

test('the console reports that an empty database needs muster migrate', async ({ db }) => {
  await db.query('drop schema travelers cascade');
  const console = await musterConsole({ DATABASE_URL: db.url });
  const answer = await fetch(`${console.url}/api/travelers/sensors`);
  expect([answer.status, await answer.json()]).toMatchObject([
    503,
    {
      error: expect.stringMatching(
        /^relation "travelers\.\w+" does not exist: .* 'muster migrate'$/,
      ),
    },
  ]);
  console.kill('SIGTERM');
  expect(await console.exited).toEqual({ code: 0, signal: null });
});

test('a client that does not read the answer does not delay the stop', async ({ db }) => {
  const console = await musterConsole({ DATABASE_URL: db.url });
  const { port } = new URL(console.url);
  const client = connect(Number(port), '127.0.0.1');
  onTestFinished(() => void client.destroy());
  client.pause().on('error', () => {});
  client.write('GET /api/docs/static/swagger-ui.css HTTP/1.1\r\nHost: console\r\n\r\n'.repeat(200));
  await until(async () => client.bytesWritten > 0 && (await fetch(`${console.url}/`)).ok);
  console.kill('SIGTERM');
  expect(await console.exited).toEqual({ code: 0, signal: null });
});
