import { randomUUID } from 'node:crypto';
import { expect, vi } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { clock, connections, migrations, version } from '../../src/doctor/database/server.ts';
import { commits, standbys } from '../../src/doctor/database/durability.ts';
import { definitions, orphans } from '../../src/doctor/database/definitions.ts';
import { rowSources } from '../../src/doctor/database/row-sources.ts';
import { login, roles } from '../../src/doctor/database/login.ts';
import { reach } from '../../src/doctor/reach.ts';
import { announce } from '../../src/state/registration/announce.ts';
import { specify } from '../../src/definitions/specification.ts';
import { register } from '../../src/state/registration/register.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { change } from '../support/changes.ts';
import { durable } from '../support/durable.ts';
import { pairOf } from '../support/pair.ts';
import { databaseOn, workerOn } from '../support/worker.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { applyRemedies, inspectorOf, reportOf, stateOf } from './examination.ts';

test('a writable server of a supported version is fine', async ({ db }) => {
  expect(await reportOf(version, await stateOf(db))).toEqual([
    expect.stringMatching(/^✓ PostgreSQL 18\.\S+, a primary$/),
  ]);
});

test('a server that is too old is a problem', async ({ db }) => {
  const inspector = await inspectorOf(db);
  // fakes the answer of an older server
  const older = {
    ...inspector,
    query: async <R>() => [{ number: 150_006, version: '15.6' }] as R[],
  };
  expect(await reportOf(version, { ...(await stateOf(db)), inspector: older })).toEqual([
    '✗ PostgreSQL 15.6 is too old',
  ]);
});

test.for([
  ['no server', { port: '1' }, /^nothing is listening: .*ECONNREFUSED/, /^pg_isready -h .* -p 1$/],
  ['a wrong password', { password: 'canary' }, /28P01/, /^set the password of postgres in X_URL$/],
  ['no such database', { pathname: '/nothing' }, /3D000/, /^createdb .* nothing$/],
  [
    'no such file',
    { search: '?sslmode=verify-full&sslrootcert=/nowhere' },
    /ENOENT.*nowhere/,
    /^name an existing file in X_URL$/,
  ],
  [
    'no such host',
    { hostname: 'no.invalid' },
    /^the host name no\.invalid can't be resolved/,
    /^correct the host/,
  ],
  [
    'a server without TLS',
    { search: '?sslmode=verify-full' },
    /^TLS: .*SSL/,
    /sslmode=verify-full/,
  ],
] as const)('%s gets a message and remedy of its own', async ([, part, why, fix], { db }) => {
  const url = Object.assign(new URL(db.url), part);
  const { inspector, finding } = await reach(url.href, 'X_URL');
  expect(inspector).toBe(null);
  expect(finding).toEqual({
    state: 'problem',
    message: expect.stringMatching(why),
    remedy: expect.stringMatching(fix),
  });
  expect(JSON.stringify(finding)).not.toContain('canary');
});

test('lists migrations that are not applied, and accepts those of a newer release', async ({
  db,
}) => {
  const context = await stateOf(db);
  expect(await reportOf(migrations, context)).toEqual([expect.stringMatching(/^✓ \d+ applied$/)]);
  await db.query(`insert into muster.migration (name, run_on) values ('999_later', now())`);
  expect(await reportOf(migrations, context)).toEqual([
    expect.stringMatching(/^✓ \d+ applied; also 999_later of a newer release$/),
  ]);
  await db.query('drop table muster.migration_recordings');
  expect(await reportOf(migrations, context)).toEqual(['✗ not applied: 001_processed']);
  await db.query('drop schema muster cascade');
  expect(await reportOf(migrations, context)).toEqual([
    expect.stringMatching(/^✗ not applied: 001_tables, .*001_processed/),
  ]);
});

test('reports what a login may do', async ({ db }) => {
  const state = await stateOf(db);
  expect(await reportOf(login, state)).toEqual([
    '✓ postgres, a superuser: more than any process needs',
  ]);
  const { name, url } = await loginOn(db);
  const context = { ...state, inspector: await inspectorOf({ url }) };
  await expect(login.run(context)).resolves.toEqual([
    {
      state: 'problem',
      message: expect.stringMatching(`^${name} may not serve: \\w+ \\(delete\\), .* …$`),
      remedy: `grant muster_intake, muster_run to "${name}";`,
    },
  ]);
  await grantRoles(db.url, ['recordings']);
  for (const [grant, expected] of [
    ['muster_read', `✓ ${name} may only read: enough for people and the doctor, not for serve`],
    ['muster_run', `✗ ${name} may run handlers but not ingest events`],
    ['muster_intake', `✓ ${name} may serve`],
  ] as const) {
    await db.query(`grant ${grant} to ${name}`);
    expect(await reportOf(login, context)).toEqual([expected]);
  }
  await db.query(`revoke muster_run from ${name}`);
  expect(await reportOf(login, context)).toEqual([
    `✗ ${name} may ingest events but not run handlers`,
  ]);
  await applyRemedies(login, context, db);
  expect(await reportOf(login, context)).toEqual([`✓ ${name} may serve`]);
});

test('reports roles whose grants are older than the tables', async ({ db }) => {
  await grantRoles(db.url, ['recordings']);
  await db.query(
    'revoke all on all tables in schema muster from muster_intake, muster_run, muster_read',
  );
  const context = await stateOf(db);
  expect((await reportOf(roles, context))[0]).toMatch(
    /^✗ privileges missing for muster_intake, muster_run, muster_read(, muster_keda)?$/,
  );
});

durable('reports commits that would not survive a crash', async ({ db }) => {
  const context = await stateOf(db);
  expect(await reportOf(commits, context)).toEqual(['✓ synchronous_commit on, fsync on']);
  // as behind a pooler that drops the options of a connection
  await context.inspector.query('set synchronous_commit = off');
  expect(await reportOf(commits, context)).toEqual([
    expect.stringMatching(/^✗ synchronous_commit is off although the connection has set it/),
  ]);
});

test('names the grant that a login needs in order to see standbys', async ({ db }) => {
  const { name, url } = await loginOn(db);
  const context = { ...(await stateOf(db)), inspector: await inspectorOf({ url }) };
  await expect(standbys.run(context)).resolves.toEqual([
    { state: 'unchecked', message: `this login can't see standbys: grant pg_monitor to ${name}` },
  ]);
  await db.query(`grant pg_monitor to ${name}`);
  expect(await reportOf(standbys, { ...context, inspector: await inspectorOf({ url }) })).toEqual([
    '✓ none',
  ]);
});

test('compares the connections of all pods with what the server allows', async ({ db }) => {
  const context = await stateOf(db, [], { CONCURRENCY: '16', WRITERS: '2' });
  expect(await reportOf(connections, context)).toEqual([
    expect.stringMatching(
      /^✓ 300 allowed, \d+ of them available to Muster: enough for \d+ pods with 23 each$/,
    ),
  ]);
  expect(
    await reportOf(connections, { ...context, wanted: { pods: 50, connections: 1150 } }),
  ).toEqual([
    expect.stringMatching(
      /^✗ 300 allowed, \d+ of them available to Muster; 50 pods may need 1150$/,
    ),
  ]);
  const visitor = await loginOn(db);
  await db.query(`alter role ${visitor.name} connection limit 40`);
  const wanted = { pods: 2, connections: 46 };
  const limited = { ...context, inspector: await inspectorOf({ url: visitor.url }), wanted };
  await expect(connections.run(limited)).resolves.toEqual([
    {
      state: 'problem',
      message: '300 allowed, 40 of them available to Muster; 2 pods may need 46',
      remedy: 'raise the connection limit of the login and the database to 46',
    },
  ]);
});

test('reports clocks that differ', async ({ db }) => {
  const context = await stateOf(db);
  expect(await reportOf(clock, context)).toEqual([expect.stringMatching(/^✓ 0\.\d s from/)]);
  const now = Date.now.bind(Date);
  const late = vi.spyOn(Date, 'now').mockImplementation(() => now() - 60_000);
  const finding = await reportOf(clock, context);
  late.mockRestore();
  expect(finding).toEqual([expect.stringMatching(/^✗ (59\.9|60\.\d) s from this machine's/)]);
});

test('compares each definition with the registered one', async ({ db }) => {
  const old = pairOf({ name: 'pair' });
  const next = pairOf({ name: 'pair', complete: { atLeast: 1, of: ['a', 'b'] } });
  const released = await stateOf(db, [old]);
  expect(await reportOf(definitions, released)).toEqual(['✗ pair is not registered']);
  await workerOn(db, [old]);
  expect(await reportOf(definitions, released)).toEqual(['✓ pair: generation 1']);
  expect(await reportOf(definitions, await stateOf(db, [next]))).toEqual([
    "✗ pair: this release's definition is newer than the registered generation 1",
  ]);
  await workerOn(db, [next]);
  expect(await reportOf(definitions, released)).toEqual([
    "✗ pair: this release's definition is generation 1, but the newest is 2: pods of this release answer 503",
  ]);
  // what `muster migrate` of the old release does, first with and then without live workers
  const database = databaseOn(db);
  expect(await announce(database, specify(old))).toBe(true);
  expect(await reportOf(definitions, released)).toEqual([
    '✓ pair: announced; workers of generation 2 continue to serve until one of this release is ready',
  ]);
  await register(database, specify(old), true);
  await database.close();
  expect(await reportOf(definitions, released)).toEqual([
    '✓ pair: generation 3; not all sets have been re-evaluated yet',
  ]);
});

test('reports a new or changed part and how to read its table again', async ({ db }) => {
  const next = pairOf({ parts: { a: { table: 'public.item', key: 'k' } } });
  await workerOn(db, [pairOf()]);
  await workerOn(db, [next]);
  const context = await stateOf(db, [next]);
  const [, finding] = await definitions.run(context);
  expect(finding).toMatchObject({
    state: 'problem',
    message: expect.stringMatching(
      /^pair: part a is new or changed, and has only the rows of public.item that changed since 20/,
    ),
    remedy: expect.stringMatching(
      /^muster resynced pair a {3}# once .* insert into debezium.dbz_signal/,
    ),
  });
  await db.query('update muster.part set unsynced_since = null');
  expect(await reportOf(definitions, context)).toHaveLength(1);
});

test('reports due runs of a function whose file was removed', async ({ db }) => {
  const context = await stateOf(db, [recordings]);
  await workerOn(db, [pairOf({ name: 'given-up' }), recordings]);
  expect(await reportOf(orphans, context)).toEqual(['✓ none']);
  await dueRun(db, 'given-up');
  await dueRun(db, 'recordings');
  expect(await reportOf(orphans, context)).toEqual([
    '✗ given-up is not in this release but has 1 due run',
  ]);
});

test('reports a part with rows of several connectors, which is a problem if one of them fell silent', async ({
  db,
}) => {
  const context = await stateOf(db, [pairOf()]);
  const pod = await workerOn(db, [pairOf()]);
  const from = (source: string, at: number) =>
    pod.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }, { source, at }));
  await from('north', Date.now() - 2 * 86_400_000);
  expect(await reportOf(rowSources, context)).toEqual([
    '✓ the rows of each part come from one connector',
  ]);
  await from('south', Date.now());
  await pod.positions.exchange();
  const both =
    'pair: rows of public.item come from north and south, and those with equal keys share a set';
  expect(await reportOf(rowSources, context)).toEqual([
    `✗ ${both}; nothing has arrived from north for over 1 day`,
  ]);
  const [finding] = await rowSources.run(context);
  expect(finding!.remedy).toBe(
    'muster source replace north south, if south took its place; or: muster source forget north',
  );
  await db.query('update muster.source set at = (select max(at) from muster.source)');
  expect(await reportOf(rowSources, context)).toEqual([`✓ ${both}`]);
});

async function dueRun(db: TestDatabase, fn: string): Promise<void> {
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     select id, 'k', 1, true, 'ready', 0, 0, now(), now() from muster.function where name = $1`,
    [fn],
  );
}

/** Creates a login without any privileges. */
async function loginOn(db: TestDatabase): Promise<{ name: string; url: string }> {
  const name = `login_${randomUUID().slice(0, 8)}`;
  await db.query(`create role ${name} login password 'secret'`);
  const url = Object.assign(new URL(db.url), { username: name, password: 'secret' });
  return { name, url: url.href };
}
