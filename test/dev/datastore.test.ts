import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { test } from './support/source.ts';

/** A statement as it would be typed by hand. */
export const INSERT = `
insert into datastore.signal
  (recording, span, sensor_label, sensor_type, channels, sample_unit, sample_type, sample_rate)
values
  ('0193a000-0000-7000-8000-00000000000a', '[0,60_000_000_000)', 'eeg', 'eeg',
   '{f7-o1,f8-o2,f8-f7,f8-o1,f7-o2}', 'microvolt', 'float32', 250),
  ('0193a000-0000-7000-8000-00000000000a', '[0,60_000_000_000)', 'accelerometer', 'accelerometer',
   '{x,y,z}', 'gforce', 'float32', 50);
`;
const QUERY =
  'select span, sensor_type, channels, sample_unit, sample_type, sample_rate from datastore.signal order by sample_rate';

test('a hand-typed insert of two signals works', async ({ client }) => {
  await client.query(INSERT);

  const { rows } = await client.query(QUERY);
  expect(rows).toEqual([
    {
      span: '[0,60000000000)',
      sensor_type: 'accelerometer',
      channels: ['x', 'y', 'z'],
      sample_unit: 'gforce',
      sample_type: 'float32',
      sample_rate: 50,
    },
    {
      span: '[0,60000000000)',
      sensor_type: 'eeg',
      channels: ['f7-o1', 'f8-o2', 'f8-f7', 'f8-o1', 'f7-o2'],
      sample_unit: 'microvolt',
      sample_type: 'float32',
      sample_rate: 250,
    },
  ]);
});

test('the same insert works through psql', async ({ client, url, skip }) => {
  const psql = await promisify(execFile)('psql', ['-X', url, '-c', INSERT]).catch((error) => {
    if (error.code === 'ENOENT') return skip('psql is not installed');
    throw error;
  });

  expect(psql.stdout).toBe('INSERT 0 2\n');
  expect((await client.query(QUERY)).rowCount).toBe(2);
});
