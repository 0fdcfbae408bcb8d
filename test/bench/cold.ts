/**
 * Cold start: from spawning a process to the first 2xx answer to an event that is posted repeatedly, which
 * both stores answer only after their COMMIT. Compares the bundle of the image, the sources as in
 * development, and a minimal program: Fastify and pg, bundled the same way, with one insert. Measured in
 * turn, without a limit and with a CPU quota if this machine allows one.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { bundleAll } from '../../build/bundle.ts';
import { warmUp } from '../../src/build/warm-up.ts';
import {
  atMost,
  createDatabase,
  grid,
  same,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';
import {
  cached,
  cpuLimiter,
  labelOf,
  LIMITS,
  median,
  start,
  variant,
  type Variant,
} from './start.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The minimal program: the same framework, the same client, one row per event. */
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

export async function measureColdStart(context: SectionContext): Promise<SectionResult> {
  const { postgres, folder, quick, say } = context;
  const rounds = quick ? 1 : 9;
  const muster = await createDatabase(postgres, 'cold_muster');
  const bare = await createDatabase(postgres, 'cold_bare', 'empty');
  await bare.client.query('create table event (id text primary key, row jsonb not null)');
  const variants = await makeVariants(folder, muster.url, bare.url);
  const limited = cpuLimiter();
  if (limited === null) {
    say('\nCold start under a CPU limit: skipped, no writable cgroup with a CPU quota');
  }
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

/** All with their own compile cache, written by an earlier run, except the sources without one. */
async function makeVariants(folder: string, muster: string, bare: string): Promise<Variant[]> {
  const dist = join(folder, 'cold-dist');
  await bundleAll(dist);
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
  // As the image sets it; only `functions/recordings`, as in a cluster.
  const serve = {
    DATABASE_URL: muster,
    FUNCTIONS: 'recordings',
    HOST: '127.0.0.1',
    LOG_LEVEL: 'error',
  };
  const sources = [join(ROOT, 'src/cli/muster.ts'), 'serve'];
  return [
    variant('bundle, warm compile cache', [join(dist, 'muster.js'), 'serve'], {
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

async function check(muster: BenchDatabase, bare: BenchDatabase, each: number): Promise<void> {
  const { rows } = await muster.client.query(
    'select count(*)::int as n from muster.member where in_set',
  );
  same('cold start, rows ingested', rows[0].n, 3 * each);
  const least = await bare.client.query('select count(*)::int as n from event');
  same('cold start, rows inserted by the bare app', least.rows[0].n, each);
}
