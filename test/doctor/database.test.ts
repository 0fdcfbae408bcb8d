import { randomUUID } from 'node:crypto';
import { expect, vi } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { clock, connections, migrations, version } from '../../src/doctor/database/database.ts';
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
import { pairOf } from '../support/pair.ts';
import { databaseOn, podOn } from '../support/pod.ts';
import { test, type TestDatabase } from '../support/test.ts';
import { mend, inspectorOf, says, stateOf } from './examination.ts';

test('a server that is new enough and may be written to is fine', async ({ db }) => {
  expect(await says(version, await stateOf(db))).toEqual([
    expect.stringMatching(/^✓ PostgreSQL 18\.\S+, a primary$/),
  ]);
});

test('a server that is too old is to be upgraded', async ({ db }) => {
  const inspector = await inspectorOf(db);
  // No older server is here; it answers so.
  const older = {
    ...inspector,
    query: async <R>() => [{ number: 170_006, version: '17.6' }] as R[],
  };
  expect(await says(version, { ...(await stateOf(db)), inspector: older })).toEqual([
    '✗ PostgreSQL 17.6 is too old',
  ]);
});

test.for([
  ['no server', { port: '1' }, /^nothing listens there: .*ECONNREFUSED/, /^pg_isready -h .* -p 1$/],
  ['a wrong password', { password: 'canary' }, /28P01/, /^set the password of postgres in X_URL$/],
  ['no such database', { pathname: '/nothing' }, /3D000/, /^createdb .* nothing$/],
  [
    'no such file',
    { search: '?sslmode=verify-full&sslrootcert=/nowhere' },
    /ENOENT.*nowhere/,
    /^name a file that is there in X_URL$/,
  ],
  ['no such host', { hostname: 'no.invalid' }, /^the name no\.invalid is not/, /^set the host/],
  [
    'a server without TLS',
    { search: '?sslmode=verify-full' },
    /^TLS: .*SSL/,
    /sslmode=verify-full/,
  ],
] as const)('%s is told apart', async ([, part, why, cure], { db }) => {
  const url = Object.assign(new URL(db.url), part);
  const { inspector, finding } = await reach(url.href, 'X_URL');
  expect(inspector).toBe(null);
  expect(finding).toEqual({
    state: 'problem',
    says: expect.stringMatching(why),
    mend: expect.stringMatching(cure),
  });
  expect(JSON.stringify(finding)).not.toContain('canary');
});

test('migrations that are not applied are named; those of a newer release do no harm', async ({
  db,
}) => {
  const context = await stateOf(db);
  expect(await says(migrations, context)).toEqual([expect.stringMatching(/^✓ \d+ applied$/)]);
  await db.query(`insert into muster.migration (name, run_on) values ('999_later', now())`);
  expect(await says(migrations, context)).toEqual([
    expect.stringMatching(/^✓ \d+ applied; 999_later of a newer release too$/),
  ]);
  await db.query('drop table muster.migration_recordings');
  expect(await says(migrations, context)).toEqual(['✗ not applied: 001_processed']);
  await db.query('drop schema muster cascade');
  expect(await says(migrations, context)).toEqual([
    expect.stringMatching(/^✗ not applied: 001_tables, .*001_processed/),
  ]);
});

test('a login is told what it may do', async ({ db }) => {
  const asked = await stateOf(db);
  expect(await says(login, asked)).toEqual([
    '✓ postgres, a superuser: more than any process needs',
  ]);
  const { name, url } = await loginOn(db);
  const context = { ...asked, inspector: await inspectorOf({ url }) };
  await expect(login.run(context)).resolves.toEqual([
    {
      state: 'problem',
      says: expect.stringMatching(`^${name} may not serve: \\w+ \\(delete\\), .* …$`),
      mend: `grant muster_intake, muster_run to "${name}";`,
    },
  ]);
  await grantRoles(db.url, ['recordings']);
  for (const [grant, expected] of [
    ['muster_read', `✓ ${name} may read: for people and the doctor, not to serve`],
    ['muster_run', `✗ ${name} may run handlers, but file no event`],
    ['muster_intake', `✓ ${name} may serve`],
  ] as const) {
    await db.query(`grant ${grant} to ${name}`);
    expect(await says(login, context)).toEqual([expected]);
  }
  await db.query(`revoke muster_run from ${name}`);
  expect(await says(login, context)).toEqual([`✗ ${name} may ingest events, but run no handler`]);
  await mend(login, context, db);
  expect(await says(login, context)).toEqual([`✓ ${name} may serve`]);
});

test('roles whose rights are older than the tables are told', async ({ db }) => {
  await grantRoles(db.url, ['recordings']);
  await db.query(
    'revoke all on all tables in schema muster from muster_intake, muster_run, muster_read',
  );
  const context = await stateOf(db);
  expect((await says(roles, context))[0]).toMatch(
    /^✗ muster_intake, muster_run, muster_read(, muster_keda)? may not do what it is for$/,
  );
});

test('commits that would not survive a crash are told', async ({ db }) => {
  const context = await stateOf(db);
  expect(await says(commits, context)).toEqual(['✓ synchronous_commit on, fsync on']);
  // as behind a pooler that drops the options of a connection
  await context.inspector.query('set synchronous_commit = off');
  expect(await says(commits, context)).toEqual([
    expect.stringMatching(/^✗ synchronous_commit is off though the connection has set it/),
  ]);
});

test('a login that sees no standby says what would let it', async ({ db }) => {
  const { name, url } = await loginOn(db);
  const context = { ...(await stateOf(db)), inspector: await inspectorOf({ url }) };
  await expect(standbys.run(context)).resolves.toEqual([
    { state: 'unchecked', says: `this login sees no standby: grant pg_monitor to ${name}` },
  ]);
  await db.query(`grant pg_monitor to ${name}`);
  expect(await says(standbys, { ...context, inspector: await inspectorOf({ url }) })).toEqual([
    '✓ none',
  ]);
});

test('connections of all pods together are held against what the server takes', async ({ db }) => {
  const context = await stateOf(db, [], { CONCURRENCY: '16', WRITERS: '2' });
  expect(await says(connections, context)).toEqual([
    expect.stringMatching(
      /^✓ 300 at most, \d+ of them free for Muster: enough for \d+ pods of 23$/,
    ),
  ]);
  expect(await says(connections, { ...context, wanted: { pods: 50, connections: 1150 } })).toEqual([
    expect.stringMatching(/^✗ 300 at most, \d+ of them free for Muster; 50 pods may hold 1150$/),
  ]);
  const visitor = await loginOn(db);
  await db.query(`alter role ${visitor.name} connection limit 40`);
  const wanted = { pods: 2, connections: 46 };
  const limited = { ...context, inspector: await inspectorOf({ url: visitor.url }), wanted };
  await expect(connections.run(limited)).resolves.toEqual([
    {
      state: 'problem',
      says: '300 at most, 40 of them free for Muster; 2 pods may hold 46',
      mend: 'raise the connection limit of the login and the database to 46',
    },
  ]);
});

test('clocks that are apart are told', async ({ db }) => {
  const context = await stateOf(db);
  expect(await says(clock, context)).toEqual([expect.stringMatching(/^✓ 0\.\d s from/)]);
  const now = Date.now.bind(Date);
  const late = vi.spyOn(Date, 'now').mockImplementation(() => now() - 60_000);
  const finding = await says(clock, context);
  late.mockRestore();
  expect(finding).toEqual([expect.stringMatching(/^✗ (59\.9|60\.\d) s from this machine's/)]);
});

test('each definition is held against the one that is registered', async ({ db }) => {
  const old = pairOf({ name: 'pair' });
  const next = pairOf({ name: 'pair', complete: { atLeast: 1, of: ['a', 'b'] } });
  const released = await stateOf(db, [old]);
  expect(await says(definitions, released)).toEqual(['✗ pair is not registered']);
  await podOn(db, [old]);
  expect(await says(definitions, released)).toEqual(['✓ pair: generation 1']);
  expect(await says(definitions, await stateOf(db, [next]))).toEqual([
    "✗ pair: this release's definition is newer than generation 1, which is registered",
  ]);
  await podOn(db, [next]);
  expect(await says(definitions, released)).toEqual([
    "✗ pair: this release's definition is generation 1, 2 is the newest: its pods answer 503",
  ]);
  // what `muster migrate` of the old release does, while workers serve and when none does
  const database = databaseOn(db);
  expect(await announce(database, specify(old))).toBe(true);
  expect(await says(definitions, released)).toEqual([
    '✓ pair: announced; workers of generation 2 serve until one of this release is ready',
  ]);
  await register(database, specify(old), true);
  await database.close();
  expect(await says(definitions, released)).toEqual([
    '✓ pair: generation 3; not all of its sets have been evaluated by it yet',
  ]);
});

test('a part that is new or changed is told, with how to read its table again', async ({ db }) => {
  const next = pairOf({ parts: { a: { table: 'public.item', key: 'k' } } });
  await podOn(db, [pairOf()]);
  await podOn(db, [next]);
  const context = await stateOf(db, [next]);
  const [, finding] = await definitions.run(context);
  expect(finding).toMatchObject({
    state: 'problem',
    says: expect.stringMatching(
      /^pair: part a is new or changed, and knows only rows of public.item that changed since 20/,
    ),
    mend: expect.stringMatching(
      /^muster resynced pair a {3}# once .* insert into debezium.dbz_signal/,
    ),
  });
  await db.query('update muster.part set unsynced_since = null');
  expect(await says(definitions, context)).toHaveLength(1);
});

test('runs of a function that is in no file any more are told', async ({ db }) => {
  const context = await stateOf(db, [recordings]);
  await podOn(db, [pairOf({ name: 'given-up' }), recordings]);
  expect(await says(orphans, context)).toEqual(['✓ none']);
  await dueRun(db, 'given-up');
  await dueRun(db, 'recordings');
  expect(await says(orphans, context)).toEqual([
    '✗ given-up is not in this release, and 1 run of it are due',
  ]);
});

test('rows of one part that come from several connectors are told, and one that fell silent is a problem', async ({
  db,
}) => {
  const context = await stateOf(db, [pairOf()]);
  const pod = await podOn(db, [pairOf()]);
  const from = (source: string, at: number) =>
    pod.ingestor.ingest(change('c', 1, { id: 1, k: 'x', kind: 'a' }, { source, at }));
  await from('north', Date.now() - 2 * 86_400_000);
  expect(await says(rowSources, context)).toEqual(['✓ the rows of each part are of one connector']);
  await from('south', Date.now());
  await pod.positions.exchange();
  const both =
    'pair: rows of public.item come from north and south, and those with equal keys share a set';
  expect(await says(rowSources, context)).toEqual([
    `✗ ${both}; nothing has come from north for over 1 day`,
  ]);
  const [finding] = await rowSources.run(context);
  expect(finding!.mend).toBe(
    'muster source replace north south, if that one took its place; or: muster source forget north',
  );
  await db.query('update muster.source set at = (select max(at) from muster.source)');
  expect(await says(rowSources, context)).toEqual([`✓ ${both}`]);
});

async function dueRun(db: TestDatabase, fn: string): Promise<void> {
  await db.query(
    `insert into muster.run (function, key, revision, complete, state, token, attempt, due_at, created_at)
     select id, 'k', 1, true, 'ready', 0, 0, now(), now() from muster.function where name = $1`,
    [fn],
  );
}

/** A login of the test's own that may do nothing. */
async function loginOn(db: TestDatabase): Promise<{ name: string; url: string }> {
  const name = `login_${randomUUID().slice(0, 8)}`;
  await db.query(`create role ${name} login password 'secret'`);
  const url = Object.assign(new URL(db.url), { username: name, password: 'secret' });
  return { name, url: url.href };
}
