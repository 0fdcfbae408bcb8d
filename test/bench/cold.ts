/**
 * Cold start: from spawning a process to the first answer 2xx to an event that is posted again and
 * again, which both stores answer only after their COMMIT. The bundle as the image has it, the
 * sources as development has them, and the least that could do it: Fastify and pg, bundled the same
 * way, one insert. In turn, unlimited and under a CPU quota where this machine lets us set one.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundle } from '../../build/bundle.ts';
import { warmUp } from '../../build/warm-up.ts';
import { freePort } from '../../src/dev/free-port.ts';
import {
  atMost,
  createDatabase,
  grid,
  medianOf,
  same,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The least: the same framework, the same client, one row per event. */
const BARE = `
import fastify from 'fastify';
import pg from 'pg';
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL });
const app = fastify();
app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
app.post('/', async (request, reply) => {
  const event = typeof request.body === 'string' ? JSON.parse(request.body) : request.body;
  await pool.query({
    name: 'insert-event',
    text: 'insert into event (id, row) values ($1, $2) on conflict do nothing',
    values: [request.headers['ce-id'], event.after],
  });
  return reply.code(204).send();
});
process.once('SIGTERM', () => app.close().then(() => pool.end()));
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
`;

interface Variant {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly times: Map<string, number[]>;
}

/** CPUs a process may use; null = all. */
const LIMITS = [null, 1, 0.5] as const;

export async function measureColdStart(context: SectionContext): Promise<SectionResult> {
  const { postgres, folder, quick, say } = context;
  const rounds = quick ? 1 : 9;
  const muster = await createDatabase(postgres, 'cold_muster');
  const bare = await createDatabase(postgres, 'cold_bare', 'empty');
  await bare.client.query('create table event (id text primary key, row jsonb not null)');
  const variants = await makeVariants(folder, muster.url, bare.url);
  const limited = cpuLimiter();
  if (limited === null)
    say('\nCold start under a CPU limit: skipped, no writable cgroup with a CPU quota');
  const limits = LIMITS.filter((limit) => limit === null || limited !== null);
  try {
    for (let round = -1; round < rounds; round++) {
      for (const limit of limits) {
        for (const each of variants) {
          const ms = await start(each, limit, limited);
          if (round < 0) continue; // fills the page cache, writes caches, registers functions
          const name = labelOf(limit);
          each.times.set(name, [...(each.times.get(name) ?? []), ms]);
        }
      }
    }
    await check(muster, bare, (rounds + 1) * limits.length);
  } finally {
    limited?.remove();
    await muster.drop();
    await bare.drop();
  }

  const labels = limits.map(labelOf);
  const base = variants.at(-1)!;
  const rows = variants.map((each) => [
    each.name,
    ...labels.flatMap((label) => [
      median(each, label).toFixed(0),
      (median(each, label) / median(base, label)).toFixed(2),
    ]),
  ]);
  const head = ['started', ...labels.flatMap((label) => [`${label}: ms`, '×'])];
  say(grid(`Cold start: spawn to first committed 2xx; medians of ${rounds}`, head, rows));
  const verdicts = labels.map((label) =>
    atMost(
      `cold start of the bundle, ${label}, × Fastify + pg bundled bare`,
      median(variants[0]!, label) / median(base, label),
      1.2,
    ),
  );
  const data = variants.map(({ name, times }) => ({ name, ms: Object.fromEntries(times) }));
  return { data, verdicts };
}

function median({ times }: Variant, label: string): number {
  return medianOf(times.get(label)!);
}

function labelOf(limit: number | null): string {
  return limit === null ? 'all CPUs' : `${limit} CPU`;
}

/** All with a compile cache of their own that an earlier run has written, but for the sources without. */
async function makeVariants(folder: string, muster: string, bare: string): Promise<Variant[]> {
  const dist = join(folder, 'cold-dist');
  await bundle(dist);
  await warmUp(dist, join(dist, 'cache'));
  const least = join(folder, 'cold-bare');
  mkdirSync(least, { recursive: true });
  writeFileSync(join(least, 'package.json'), '{ "type": "module" }\n');
  await build({
    stdin: { contents: BARE, resolveDir: ROOT, loader: 'js' },
    outfile: join(least, 'app.js'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    minifySyntax: true,
    external: ['pg-native'],
    banner: {
      js: `const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);`,
    },
  });
  // As the image sets it; `functions/recordings` alone, as in a cluster.
  const serve = {
    DATABASE_URL: muster,
    FUNCTIONS: 'recordings',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
  };
  const sources = [join(ROOT, 'src/cli/muster.ts'), 'serve'];
  return [
    variant('bundle, warm compile cache', [join(dist, 'src/muster.js'), 'serve'], {
      ...serve,
      ...cached(join(dist, 'cache')),
    }),
    variant('.ts files', sources, serve),
    variant('.ts files, warm compile cache', sources, {
      ...serve,
      ...cached(join(folder, 'cold-ts-cache')),
    }),
    variant('Fastify + pg bundled bare, warm', [join(least, 'app.js')], {
      DATABASE_URL: bare,
      ...cached(join(least, 'cache')),
    }),
  ];
}

function cached(cache: string): Record<string, string> {
  return { NODE_COMPILE_CACHE: cache, NODE_COMPILE_CACHE_PORTABLE: '1' };
}

function variant(name: string, command: string[], env: Record<string, string>): Variant {
  return { name, command, env, times: new Map() };
}

let events = 0;

async function start(
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
  child.kill('SIGTERM'); // in order: the compile cache is written then
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

/** Status of one try; 0 while nobody listens. A connection of its own each time. */
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

async function check(muster: BenchDatabase, bare: BenchDatabase, each: number): Promise<void> {
  const { rows } = await muster.client.query(
    'select count(*)::int as n from muster.member where held',
  );
  same('cold start, rows filed', rows[0].n, 3 * each);
  const least = await bare.client.query('select count(*)::int as n from event');
  same('cold start, rows inserted by the bare app', least.rows[0].n, each);
}

interface CpuLimiter {
  run(cpus: number, command: readonly string[], env: Record<string, string>): ChildProcess;
  remove(): void;
}

/** A control group with a CPU quota (v2, or v1); null where we may not make one. */
function cpuLimiter(): CpuLimiter | null {
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
        // The shell enters the group, then becomes Node: not a moment outside of it.
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
