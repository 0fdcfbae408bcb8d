import { writeFileSync } from 'node:fs';
import { expect } from 'vitest';
import { AUDIENCE, startIssuer } from '../support/issuer.ts';
import { envelope } from '../support/sender.ts';
import { test } from '../support/test.ts';
import { muster, musterServe } from './command.ts';

test('send and redeliver send a token to a worker that requires one', async ({ db }) => {
  const issuer = await startIssuer();
  const env = { DATABASE_URL: db.url };
  const server = await musterServe({
    ...env,
    OIDC_ISSUER: issuer.url,
    OIDC_AUDIENCE: AUDIENCE,
    OIDC_CA_FILE: issuer.caFile,
  });
  const tokenFile = `${issuer.caFile}.token`;
  writeFileSync(tokenFile, `${await issuer.sign()}\n`);
  const event = envelope('c', 1, { id: 1 });
  const send = ['send', '-', '--to', server.url];
  expect(await muster({}, send, event)).toMatchObject({
    code: 1,
    stdout: '401 {"error":"no bearer token","reason":"no-token"}\n',
  });
  expect(await muster({}, [...send, '--token-file', tokenFile], event)).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^20\d /) as string,
  });

  const notAChange = [...send, '--token-file', tokenFile];
  await muster({}, notAChange, '{"what": "is this"}');
  const redeliver = ['redeliver', '--to', server.url];
  expect((await muster(env, redeliver)).stdout).toMatch(/\t401\t[^]*\n0 redelivered, 1 left\n$/);
  expect((await muster(env, [...redeliver, '--token-file', tokenFile])).stdout).toMatch(
    /\t202\t[^]*\n0 redelivered, 1 left\n$/,
  );
  server.kill('SIGTERM');
  expect(await server.exited).toEqual({ code: 0, signal: null });
});
