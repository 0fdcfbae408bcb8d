import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { COMPILED } from '../support/process.ts';
import type { Measured } from './arena.ts';

const RUN = fileURLToPath(new URL('run.ts', import.meta.url));

test(
  'the bench runs, and every cell stores the events it answered',
  { timeout: 180_000 },
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'muster-bench-test-'));
    try {
      const json = join(folder, 'bench.json');
      const args = [RUN, '--quick', '--json', json];
      const env = { ...process.env, ...COMPILED };
      const { stdout } = await promisify(execFile)(process.execPath, args, { env });

      const { measured } = JSON.parse(readFileSync(json, 'utf8')) as {
        measured: Record<string, Measured[]>;
      };
      expect(stdout).toMatch(/^in flight .* CPU µs\/event/m);
      expect(Object.keys(measured)).toEqual(['http', 'process', 'features']);
      const cells = Object.values(measured).flat();
      expect(cells.filter((each) => !each.cells.every(({ answered }) => answered > 0))).toEqual([]);
      expect(cells).toHaveLength(4 + 5 + 8);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
