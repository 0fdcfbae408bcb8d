import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import recordings, { processRecord, type Signal } from '../../functions/recordings.ts';
import { runFunction, type ArrivingRow } from '../../src/testing.ts';
import { test as base, type TestDatabase } from '../support/test.ts';

const RECORDING = '0193b000-0000-7000-8000-00000000000b';
const SPAN = '[0,60000000000)';
const NEXT_SPAN = '[60000000000,120000000000)';
const EEG = '0193b000-0000-7000-8000-000000000001';
const ACCELEROMETER = '0193b000-0000-7000-8000-000000000002';

/** A database with the headbands' table. */
const test = base.extend<{ signals: TestDatabase }>({
  signals: async ({ db }, use) => {
    const url = new URL('../../dev/demo/datastore.sql', import.meta.url);
    await db.query(readFileSync(url, 'utf8'));
    await use(db);
  },
});

test('a complete pair is processed once, and one event reports it', async ({ signals }) => {
  const rows = [await eeg(signals), await accelerometer(signals)];

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toEqual({
    sets: [{ key: { recording: RECORDING, span: SPAN }, status: 'done', missing: [] }],
    events: [
      {
        type: 'recording.processed',
        subject: RECORDING,
        data: {
          recording: RECORDING,
          span: SPAN,
          channels: { eeg: ['f7-o1', 'f8-o2'], accelerometer: ['x', 'y', 'z'] },
          seconds: 60,
        },
      },
    ],
    errors: [],
  });
  expect(await processed(signals)).toEqual([
    {
      recording: RECORDING,
      span: SPAN,
      run_id: `recordings/["${RECORDING}","${SPAN}"]/1`,
      channels: { eeg: ['f7-o1', 'f8-o2'], accelerometer: ['x', 'y', 'z'] },
      seconds: 60,
    },
  ]);
});

test('one signal of a pair waits for the other', async ({ signals }) => {
  const rows = [await eeg(signals)];

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toEqual({
    sets: [
      { key: { recording: RECORDING, span: SPAN }, status: 'waiting', missing: ['accelerometer'] },
    ],
    events: [],
    errors: [],
  });
  expect(await processed(signals)).toEqual([]);
});

test('signals of other sensors are not part of a recording', async ({ signals }) => {
  const rows = [await eeg(signals), await store(signals, ACCELEROMETER, { sensor_type: 'ecg' })];

  const { sets } = await runFunction(recordings, rows, { databaseUrl: signals.url });
  expect(sets.map(({ missing }) => missing)).toEqual([['accelerometer']]);
});

test('an impossible sample rate fails permanently, and the error names the signal', async ({
  signals,
}) => {
  const rows = [await eeg(signals, { sample_rate: 0 }), await accelerometer(signals)];

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'failed' }],
    events: [],
    errors: [
      `TerminalError: signal ${EEG} (eeg) has a sample rate of 0 Hz; it must be above 0 and at most 100000 Hz`,
    ],
  });
  expect(await processed(signals)).toEqual([]);
});

test('a corrected signal runs its failed recording again', async ({ signals }) => {
  const rows = [await eeg(signals, { sample_rate: -1 }), await accelerometer(signals)];
  await runFunction(recordings, rows, { databaseUrl: signals.url });

  await signals.query('update datastore.signal set sample_rate = 250');
  const again = rows.slice(0, 1).map((each) => ({ ...each, op: 'u' as const, lsn: 3 }));
  expect(await runFunction(recordings, again, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'done' }],
    events: [{ type: 'recording.processed' }],
    errors: [],
  });
});

test('a replay runs nothing', async ({ signals }) => {
  const rows = [await eeg(signals), await accelerometer(signals)];
  await runFunction(recordings, rows, { databaseUrl: signals.url });

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'done' }],
    events: [],
    errors: [],
  });
  expect(await processed(signals)).toHaveLength(1);
});

test('the order in which the signals arrive does not matter', async ({ signals }) => {
  const rows = [await eeg(signals), await accelerometer(signals)];
  const swapped = rows.map((each, i) => ({ ...each, lsn: i + 1 })).toReversed();

  expect(await runFunction(recordings, swapped, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'done' }],
    events: [{ type: 'recording.processed' }],
  });
});

test('each span of a recording is processed separately', async ({ signals }) => {
  const next = { span: NEXT_SPAN };
  const rows = [
    await eeg(signals),
    await store(signals, '0193b000-0000-7000-8000-000000000003', { sensor_type: 'eeg', ...next }),
    await accelerometer(signals),
  ];

  const { sets, events } = await runFunction(recordings, rows, { databaseUrl: signals.url });
  expect(sets.map(({ key, status }) => [key.span, status])).toEqual([
    [SPAN, 'done'],
    [NEXT_SPAN, 'waiting'],
  ]);
  expect(events).toHaveLength(1);
});

test('a row that is written again counts as one row', async ({ signals }) => {
  const first = await eeg(signals);
  const rows = [first, { ...first, op: 'u' as const }, await accelerometer(signals)];

  const { sets, events } = await runFunction(recordings, rows, { databaseUrl: signals.url });
  expect(sets.map(({ status }) => status)).toEqual(['done']);
  expect(events).toHaveLength(1);
});

test('a signal deleted before its recording is complete is missing again', async ({ signals }) => {
  const first = await eeg(signals);
  const rows = [
    first,
    { table: first.table, op: 'd' as const, row: { id: EEG } },
    await accelerometer(signals),
  ];

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'waiting', missing: ['eeg'] }],
    events: [],
  });
});

test('a signal that was deleted before its delete event arrives is retried later', async ({
  signals,
}) => {
  const rows = [await eeg(signals), await accelerometer(signals)];
  await signals.query('delete from datastore.signal where id = $1', [EEG]);

  expect(await runFunction(recordings, rows, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'complete' }],
    events: [],
    errors: ['Error: the eeg signal is no longer in the table'],
  });
});

test('sets that were complete before the first event count as done and are not run', async ({
  signals,
}) => {
  const rows = [await eeg(signals), await accelerometer(signals)];
  const snapshot = rows.map((each) => ({ ...each, op: 'r' as const }));

  expect(await runFunction(recordings, snapshot, { databaseUrl: signals.url })).toMatchObject({
    sets: [{ status: 'done' }],
    events: [],
  });
  expect(await processed(signals)).toEqual([]);
});

test('a row without a primary key is reported', async ({ signals }) => {
  const { row, table } = await eeg(signals);
  const rows = [
    { table, row: { ...row, id: null } },
    { table: 'datastore.other', row },
  ];

  const { errors } = await runFunction(recordings, rows, { databaseUrl: signals.url });
  expect(errors).toEqual([
    "row 1: primary key column 'id' is null",
    'row 2: no part of recordings is on datastore.other',
  ]);
});

const good: Signal = {
  id: EEG,
  sensor_type: 'eeg',
  channels: ['f7-o1'],
  sample_rate: 250,
  from_ns: '0',
  to_ns: '60000000000',
};
const other: Signal = { ...good, id: ACCELEROMETER, sensor_type: 'accelerometer' };

test.each([
  [{ sample_rate: null }, 'has a sample rate of null Hz; it must be above 0 and at most 100000 Hz'],
  [
    { sample_rate: Number.NaN },
    'has a sample rate of NaN Hz; it must be above 0 and at most 100000 Hz',
  ],
  [
    { sample_rate: 100_001 },
    'has a sample rate of 100001 Hz; it must be above 0 and at most 100000 Hz',
  ],
  [{ channels: null }, 'has no channels'],
  [{ channels: [] }, 'has no channels'],
  [{ channels: ['x', 'y', 'x'] }, 'has duplicate channels: x, y, x'],
])('a signal with %j is refused', (wrong, message) => {
  expect(() => processRecord([other, { ...good, ...wrong }])).toThrow(
    `signal ${EEG} (eeg) ${message}`,
  );
});

test('a span without an end has no length', () => {
  expect(processRecord([{ ...good, to_ns: null }, other])).toMatchObject({ seconds: null });
});

test('lengths beyond 2^53 nanoseconds are exact to the second', () => {
  const long = { from_ns: '9007199254740993', to_ns: '18014399509481986' };
  expect(
    processRecord([
      { ...good, ...long },
      { ...other, ...long },
    ]).seconds,
  ).toBe(9_007_200.254_740_993);
});

function eeg(db: TestDatabase, more: object = {}): Promise<ArrivingRow> {
  return store(db, EEG, { sensor_type: 'eeg', channels: ['f7-o1', 'f8-o2'], ...more });
}

function accelerometer(db: TestDatabase): Promise<ArrivingRow> {
  return store(db, ACCELEROMETER, { sensor_type: 'accelerometer', sample_rate: 50 });
}

/** Writes a signal into the table, which the handler reads, and returns its change. */
async function store(db: TestDatabase, id: string, more: object): Promise<ArrivingRow> {
  const row = {
    id,
    recording: RECORDING,
    span: SPAN,
    channels: ['x', 'y', 'z'],
    sample_rate: 250,
    ...more,
  };
  const columns = Object.keys(row);
  await db.query(
    `insert into datastore.signal (${columns.join(', ')}) values (${columns.map((_, i) => `$${i + 1}`).join(', ')})`,
    Object.values(row),
  );
  return { table: 'datastore.signal', row };
}

function processed(db: TestDatabase) {
  return db.query('select recording, span, run_id, channels, seconds from recordings.processed');
}
