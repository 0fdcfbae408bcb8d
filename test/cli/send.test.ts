import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { test as base } from '../support/test.ts';
import { until } from '../support/until.ts';
import { muster, musterServe, type Result } from './command.ts';

interface Stand {
  readonly url: string;
  readonly muster: (args: readonly string[], stdin?: string) => Promise<Result>;
  /** Writes a file for `send` and returns its path. */
  readonly file: (text: string) => string;
}

/** Provides a migrated database with the table of the headbands, and `muster serve`. */
const test = base.extend<{ stand: Stand }>({
  stand: async ({ db }, use) => {
    const env = { DATABASE_URL: db.url };
    await db.query(readFileSync('dev/demo/datastore.sql', 'utf8'));
    const folder = await mkdtemp(join(tmpdir(), 'muster-cli-'));
    expect((await muster(env, ['migrate'])).code).toBe(0);
    const server = await musterServe({ ...env, LEASE_SECONDS: '1' });
    await use({
      url: server.url,
      muster: (args, stdin) => muster(env, args, stdin),
      file(text) {
        const path = join(folder, randomUUID());
        writeFileSync(path, text);
        return path;
      },
    });
    server.kill('SIGTERM');
    expect(await server.exited).toEqual({ code: 0, signal: null });
    await rm(folder, { recursive: true });
  },
});

/** Value of a real record: an insert of an eeg signal of recording B. */
const EEG = JSON.parse(
  (
    JSON.parse(readFileSync('test/fixtures/debezium/json/05-insert.c.json', 'utf8')) as {
      wire: { value: string };
    }
  ).wire.value,
) as { after: Record<string, unknown>; source: { lsn: number } };
/** The same insert as written by Debezium's CloudEventsConverter. */
const EEG_EVENT = readFileSync('test/fixtures/debezium/cloudevents/04-insert.c.json', 'utf8');
const RECORDING = '0193b000-0000-7000-8000-00000000000b';
const SPAN = '[0,60000000000)';
const KEY = JSON.stringify([RECORDING, SPAN]);

function accelerometer(): string {
  const after = { ...EEG.after, id: randomUUID(), sensor_type: 'accelerometer' };
  return JSON.stringify({ ...EEG, after, source: { ...EEG.source, lsn: EEG.source.lsn + 8 } });
}

test('send posts events from a file and shows their sets; explain shows what happened to them', async ({
  db,
  stand,
}) => {
  const first = await stand.muster(['send', stand.file(JSON.stringify(EEG)), '--to', stand.url]);
  expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
  expect(first.stdout).toMatch(/^200 \{/);
  expect(JSON.parse(first.stdout.slice(4))).toMatchObject({
    outcome: 'ingested',
    sets: [{ function: 'recordings', key: KEY, status: 'waiting', missing: ['accelerometer'] }],
  });

  const event = JSON.parse(EEG_EVENT) as { wire: { value: string } };
  const lines = `${event.wire.value}\n\n${accelerometer()}\n`;
  const rest = await stand.muster(['send', '-', '--to', stand.url], lines);
  expect(rest.code).toBe(0);
  expect(rest.stdout.match(/^200 /gm)).toHaveLength(2);
  const again = await stand.muster(['send', '-', '--to', stand.url, '--json'], lines);
  expect(
    again.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as unknown),
  ).toMatchObject([
    { status: 200, answer: { outcome: 'ingested', sets: [{ key: KEY }] } },
    { status: 200, answer: { outcome: 'ingested' } },
  ]);

  // The handler reads the signals themselves, which did not exist when the events arrived.
  const failing = await until(async () => {
    const { stdout } = await stand.muster(['explain', 'recordings', KEY]);
    return /last error/.test(stdout) ? stdout : null;
  });
  expect(failing).toContain('last error: the eeg signal is no longer in the table');
  await db.query(
    `insert into datastore.signal (recording, span, sensor_type, channels, sample_rate)
     values ($1, $2, 'eeg', '{f7-o1}', 250), ($1, $2, 'accelerometer', '{x,y,z}', 50)`,
    [RECORDING, SPAN],
  );
  const spaced = JSON.stringify([RECORDING, SPAN], null, 2);
  const done = await until(async () => {
    const { stdout } = await stand.muster(['explain', 'recordings', spaced]);
    return stdout.startsWith(`recordings ${KEY}: done\n`) ? stdout : null;
  });
  expect(done).toContain(`event recording.processed recordings/${KEY}/1/0: `);
  expect(await stand.muster(['explain', 'recordings', '["b","[0,1)"]'])).toMatchObject({
    code: 1,
    stderr:
      'muster: no row with this key has arrived; the key of recordings is a JSON array of recording, span\n',
  });
});

test('send exits with code 1 if an event was rejected or nothing listens', async ({ stand }) => {
  const closed = await freePort();
  for (const [to, why] of [
    [`http://127.0.0.1:${closed}`, `connect ECONNREFUSED 127.0.0.1:${closed}`],
    [`http://localhost:${closed}`, 'ECONNREFUSED'],
  ] as const) {
    const { code, stdout, stderr } = await stand.muster(['send', stand.file('{}'), '--to', to]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`muster: ${to} can't be reached: `);
    expect(stderr).toContain(why);
  }
  const broken = '{"specversion": "1.0"}';
  const refused = await stand.muster(['send', '-', '--to', stand.url], `${broken}\n{"a": 1}\n`);
  expect(refused.code).toBe(1);
  expect(refused.stdout.split('\n').map((line) => line.slice(0, 3))).toEqual(['400', '202', '']);
  expect(refused.stderr).toBe('muster: of 2 events: 1 rejected, 1 parked\n');
  const missing = await stand.muster(['send', '/nowhere.json']);
  expect(missing).toMatchObject({ code: 2, stdout: '' });
  expect(missing.stderr).toContain('/nowhere.json');
});

test('epoch bump restarts the positions of a restored source', async ({ db, stand }) => {
  expect(await stand.muster(['epoch', 'bump', 'postgres'])).toEqual({
    code: 1,
    stdout: '',
    stderr: "muster: no event of the source 'postgres' has arrived yet\n",
  });
  await stand.muster(['send', stand.file(JSON.stringify(EEG)), '--to', stand.url]);
  await until(async () => (await db.query('select from muster.source')).length === 1);
  expect(await stand.muster(['epoch', 'bump', 'postgres'])).toEqual({
    code: 0,
    stdout: expect.stringMatching(
      /^source postgres is now in epoch 1: positions restart with changes committed from \S+Z on\n$/,
    ),
    stderr: '',
  });
});

/** Returns a change committed `ms` from now; use the past, as Muster does not trust commit times in the future. */
function committed(ms: number) {
  const event = structuredClone(EEG) as typeof EEG & { source: { ts_ms: number } };
  event.source.ts_ms = Date.now() + ms;
  return event;
}

test('the remedy of the doctor for a restarted position works: the event is ingested', async ({
  db,
  stand,
}) => {
  const before = committed(-7_200_000);
  const restored = committed(-3_600_000);
  restored.source.lsn -= 1_000;
  restored.after = { ...restored.after, id: randomUUID() };
  for (const each of [before, restored]) {
    await stand.muster(['send', stand.file(JSON.stringify(each)), '--to', stand.url]);
    await until(async () => (await db.query('select from muster.source')).length === 1);
  }
  const { stdout } = await stand.muster(['doctor', '--no-cluster', '--json']);
  const { findings } = JSON.parse(stdout) as { findings: { check: string; remedy: string }[] };
  const { remedy } = findings.find(({ check }) => check === 'database.parked')!;
  expect(remedy).toBe('muster epoch bump postgres && muster redeliver --reason position-restarted');
  for (const command of remedy.split(' && ')) {
    const args = command.split(' ').slice(1);
    const to = args[0] === 'redeliver' ? ['--to', stand.url] : [];
    expect(await stand.muster([...args, ...to])).toMatchObject({ code: 0 });
  }
  expect(await db.query('select reason from muster.parked')).toEqual([]);
});

test('migrate migrates a database to this release, and does nothing the second time', async ({
  db,
}) => {
  await db.query('drop schema muster, recordings, travelers cascade');
  const env = { DATABASE_URL: db.url };
  const first = await muster(env, ['migrate']);
  expect({ ...first, stdout: first.stdout.split('\n') }).toEqual({
    code: 0,
    stdout: [
      expect.stringMatching(
        /^migrated: 001_tables(, \w+)*, recordings\/001_processed, travelers\/001_travelers$/,
      ),
      'registered: recordings, generation 1',
      'registered: travelers, a projection of movements',
      '',
    ],
    stderr: '',
  });
  expect(await muster(env, ['migrate'])).toEqual({
    code: 0,
    stdout:
      'nothing to migrate\nregistered: recordings, generation 1\nregistered: travelers, a projection of movements\n',
    stderr: '',
  });
});
