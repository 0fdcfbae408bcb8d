import { expect } from 'vitest';
import { test } from '../support/test.ts';
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

test('muster console starts before the database, and is not ready until that answers', async () => {
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

test('an empty database is said to need muster migrate', async ({ db }) => {
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
