import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';

function sensors(...args: string[]) {
  const argv = ['--disable-warning=ExperimentalWarning', 'dev/sensors/sensors.ts', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8' });
  return { status, lines: stdout.split('\n').slice(0, -1), stderr };
}

test('--for seconds up to now are written as lines of JSON, and the seed is printed', () => {
  const flags = ['--sensors', '2', '--for', '5', '--speed', 'max'];
  const { status, lines, stderr } = sensors('--file', '-', ...flags, '--seed', '7');
  expect({ status, stderr }).toEqual({
    status: 0,
    stderr: expect.stringMatching(/^seed 7\n\d+ records in [\d.]+ s, \d+\/s\n$/) as string,
  });
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(new Set(records.map((each) => each['sensor_id']))).toEqual(new Set([0, 1]));
  expect(records[0]).toEqual({
    traveler_id: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    traveler_type: expect.stringMatching(/^(pedestrian|bicyclist|vehicle)$/) as string,
    position: [0, expect.any(Number)],
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/) as string,
    sensor_id: expect.any(Number) as number,
  });
  const last = Date.parse(`${String(records.at(-1)!['timestamp'])}Z`);
  expect(Math.abs(Date.now() - last)).toBeLessThan(60_000);
});

test('with --from the output is reproducible', () => {
  const flags = ['--from', '2026-11-20T08:00:00Z', '--for', '3', '--speed', 'max', '--seed', '7'];
  const { lines } = sensors('--file', '-', '--shuffle', '1', '--duplicates', '0.1', ...flags);
  expect(lines.length).toBeGreaterThan(1_000);
  expect(sensors('--file', '-', '--shuffle', '1', '--duplicates', '0.1', ...flags).lines).toEqual(
    lines,
  );
});

test.for([
  [[], 'sensors: set exactly one of --brokers, --file and --database'],
  [
    ['--file', '-', '--brokers', 'x:1'],
    'sensors: set exactly one of --brokers, --file and --database',
  ],
  [['--file', '-', '--speed', '2'], 'sensors: --speed needs --for: simulated time would run ahead'],
  [['--file', '-', '--interval', '2-1'], 'must be seconds such as 0.1 or 0.1-0.2, up to 60'],
  [['--file', '-', '--late', '2'], 'must be a number from 0 to 1'],
  [['--file', '-', '--from', 'noon'], 'must be a time such as 2026-11-21T08:00:00Z'],
] as const)('%j is refused with exit code 2 and the reason', ([args, message]) => {
  const { status, lines, stderr } = sensors(...args);
  expect({ status, lines }).toEqual({ status: 2, lines: [] });
  expect(stderr).toContain(message);
});

test('a missing file is not a usage error: exit code 1', () => {
  const { status, stderr } = sensors('--file', '-', '--replay', 'no such file');
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringContaining('no such file or directory') as string,
  });
});
