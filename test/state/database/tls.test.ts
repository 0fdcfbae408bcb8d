import { chownSync, chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test as base } from 'vitest';
import { openDatabase } from '../../../src/state/database/database.ts';
import { migrate } from '../../../src/state/schema/migrate.ts';
import { authority } from '../../support/certificates.ts';
import { muster } from '../../cli/command.ts';
import { install } from '../../support/server.ts';

/** A PostgreSQL server with TLS, whose certificate for `localhost` is issued by an authority of its own. */
interface Secure {
  /** Its URL under that name, with the file of certificates to verify it. */
  url(caFile: string, host?: string): string;
  readonly caFile: string;
  readonly otherCaFile: string;
}

const test = base.extend<{ secure: Secure }>({
  secure: async ({}, use) => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-tls-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const write = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const ca = authority('platform');
    const { cert, key } = ca.issue('database', 'localhost');
    const { server, data, url, remove } = await install(['-c', 'ssl=on']);
    const { uid, gid } = statSync(data);
    for (const [name, text] of [
      ['server.crt', cert],
      ['server.key', key],
    ] as const) {
      const path = join(data, name);
      writeFileSync(path, text);
      chmodSync(path, 0o600);
      chownSync(path, uid, gid);
    }
    await server.start();
    await use({
      url(caFile, host = 'localhost') {
        const named = new URL(`${url}/postgres`);
        named.hostname = host;
        named.search = `?sslmode=verify-full&sslrootcert=${encodeURIComponent(caFile)}`;
        return named.href;
      },
      caFile: write('ca.crt', ca.cert),
      otherCaFile: write('other.crt', authority('platform').cert),
    });
    await server.stop();
    await remove();
  },
});

const serve = (url: string) => muster({ DATABASE_URL: url }, ['serve']);

test('with verify-full, everything that Muster sends to PostgreSQL is encrypted', async ({
  secure,
}) => {
  const url = secure.url(secure.caFile);
  expect((await migrate(url, [])).length).toBeGreaterThan(0);
  const database = openDatabase({
    url,
    writers: 1,
    handlers: 1,
    handlerIdleMs: 60_000,
    statementTimeoutMs: 60_000,
    onIdleError: () => {},
  });
  for (const pool of [database.writers, database.control, database.handlers]) {
    const { rows } = await pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    expect(rows).toEqual([{ ssl: true }]);
  }
  await database.close();
});

test("a server that can't prove its name gets no connection", async ({ secure }) => {
  expect(await serve(secure.url(secure.otherCaFile))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/certificate/) as string,
  });
  // the same server under an address that its certificate does not name
  expect(await serve(secure.url(secure.caFile, '127.0.0.1'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/does not match certificate/) as string,
  });
  expect(await serve(secure.url('/nowhere/ca.crt'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/\/nowhere\/ca\.crt/) as string,
  });
});

test('the doctor reports which certificates a server is verified by', async ({ secure }) => {
  for (const [url, expected] of [
    [secure.url(secure.caFile), /^ {2}✓ reachable: /m],
    [secure.url(secure.otherCaFile), /^ {2}✗ reachable: TLS: .*certificate.*\n {6}set sslmode=/m],
    [secure.url(secure.caFile, '127.0.0.1'), /^ {2}✗ reachable: TLS: .*does not match/m],
    [
      secure.url('/nowhere/ca.crt'),
      /^ {2}✗ reachable: .*\/nowhere\/ca\.crt.*\n {6}name an existing file/m,
    ],
  ] as const) {
    const { stdout } = await muster({ DATABASE_URL: url }, ['doctor', '--no-cluster']);
    expect(stdout).toMatch(expected);
  }
});
