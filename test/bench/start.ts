/** Measures starts of a process, from spawning it to the first 2xx answer to an event that is posted repeatedly. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../src/local/port.ts';
import { medianOf } from './section.ts';

/** The program to start, with its times by {@link labelOf}. */
export interface Variant {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly times: Map<string, number[]>;
}

/** The CPUs that a process may use; null for all. */
export const LIMITS = [null, 1, 0.5] as const;

export function median({ times }: Variant, label: string): number {
  return medianOf(times.get(label)!);
}

export function labelOf(limit: number | null): string {
  return limit === null ? 'all CPUs' : `${limit} CPU`;
}

export function cached(cache: string): Record<string, string> {
  return { NODE_COMPILE_CACHE: cache, NODE_COMPILE_CACHE_PORTABLE: '1' };
}

export function variant(name: string, command: string[], env: Record<string, string>): Variant {
  return { name, command, env, times: new Map() };
}

let events = 0;

/** Measures one start, in milliseconds. */
export async function start(
  { name, command, env }: Variant,
  limit: number | null,
  limited: CpuLimiter | null,
): Promise<number> {
  const port = await freePort();
  const { id, body } = nextEvent();
  const all = { PATH: process.env['PATH'] ?? '', PORT: String(port), ...env };
  const begun = performance.now();
  const child = limit === null ? run(command, all) : limited!.run(limit, command, all);
  const gone = once(child, 'exit');
  let errors = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (errors += text));
  while ((await post(port, id, body)) !== 204) {
    if (child.exitCode !== null) throw new Error(`${name} ended: ${errors}`);
    if (performance.now() - begun > 30_000) throw new Error(`${name} did not answer: ${errors}`);
    await sleep(1);
  }
  const ms = performance.now() - begun;
  child.kill('SIGTERM'); // an orderly stop, which writes the compile cache
  await gone;
  return ms;
}

function run(command: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, command, { env, stdio: ['ignore', 'ignore', 'pipe'] });
}

function nextEvent(): { id: string; body: string } {
  const n = ++events;
  const uuid = (kind: number) => `0193b00${kind}-0000-7000-8000-${String(n).padStart(12, '0')}`;
  const after = {
    id: uuid(3),
    recording: uuid(4),
    span: 'WzAsNjAwMDAwMDAwMDAp',
    sensor_type: 'eeg',
    channels: ['f7-o1'],
    sample_rate: 250,
  };
  const at = Date.now();
  const source = { name: 'bench', schema: 'datastore', table: 'signal', lsn: 8 * n, ts_ms: at };
  return {
    id: `partition:0/offset:${n}`,
    body: JSON.stringify({ before: null, after, source, op: 'c', ts_ms: at }),
  };
}

/** Returns the status of one attempt, on a new connection; 0 while no process listens. */
function post(port: number, id: string, body: string): Promise<number> {
  return new Promise((resolve) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port,
        method: 'POST',
        agent: false,
        headers: {
          'content-length': Buffer.byteLength(body),
          'ce-specversion': '1.0',
          'ce-id': id,
          'ce-source': '/bench/cold',
          'ce-type': 'dev.knative.kafka.event',
        },
      },
      (response) => {
        response.resume().once('end', () => resolve(response.statusCode!));
      },
    );
    sent.once('error', () => resolve(0));
    sent.end(body);
  });
}

export interface CpuLimiter {
  run(cpus: number, command: readonly string[], env: Record<string, string>): ChildProcess;
  remove(): void;
}

/** Creates a control group with a CPU quota (v2, or v1); null if this is not permitted. */
export function cpuLimiter(): CpuLimiter | null {
  const name = `muster-bench-${process.pid}`;
  const period = 100_000;
  for (const [parent, file, quota] of [
    ['/sys/fs/cgroup/cpu', 'cpu.cfs_quota_us', (cpus: number) => String(cpus * period)],
    ['/sys/fs/cgroup', 'cpu.max', (cpus: number) => `${cpus * period} ${period}`],
  ] as const) {
    const group = join(parent, name);
    try {
      if (!existsSync(parent)) continue;
      mkdirSync(group);
      writeFileSync(join(group, file), quota(1));
    } catch {
      if (existsSync(group)) rmdirSync(group);
      continue;
    }
    return {
      run(cpus, command, env) {
        writeFileSync(join(group, file), quota(cpus));
        // The shell enters the group, then becomes Node, which therefore never runs outside it.
        const script = 'echo $$ > "$0" && exec "$@"';
        const args = ['-c', script, join(group, 'cgroup.procs'), process.execPath, ...command];
        return spawn('/bin/sh', args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
      },
      remove() {
        rmdirSync(group);
      },
    };
  }
  return null;
}
