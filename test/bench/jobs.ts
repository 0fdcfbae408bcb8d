/**
 * Runs per second from a backlog, compared with job queues on the same server, each in its own process and
 * database, in turn. Muster loads the rows of each set for its handler; the queues pass a small payload.
 * With an insert: Muster commits it with the done-mark and therefore once; pg-boss does so if configured to;
 * graphile-worker can't, and may repeat it.
 * Arriving: the second row of each set is ingested, and its run is created leased; a job is added to each
 * queue. One by one, by as many callers, while the handlers run.
 */
import { cpuOf, cpuOfPostgres } from './cpu.ts';
import { fillSets } from './filled.ts';
import type { JobsAnswer, JobsOrder, JobsStart } from './jobs-worker.ts';
import {
  atLeast,
  createDatabase,
  grid,
  medianOf,
  same,
  whole,
  Worker,
  type BenchDatabase,
  type SectionContext,
  type SectionResult,
} from './section.ts';

type Settings<T = JobsStart> = T extends JobsStart ? Omit<T, 'url'> : never;

interface Entry {
  readonly name: string;
  /** Where they differ: is the insert committed together with the completion? */
  readonly once: boolean;
  readonly settings: Settings;
}

type Work = 'noop' | 'insert' | 'arriving';

const TITLES: Readonly<Record<Work, string>> = {
  noop: 'Backlog, handlers that do nothing',
  insert: 'Backlog, handlers that insert one row',
  arriving: 'Sets and jobs that arrive one by one, handlers that do nothing',
};

/**
 * graphile-worker's settings were the best without inserts in an earlier measurement on two cores; the
 * other numbers are a first choice, not the result of a search.
 */
const entries = (work: Work, insert = work === 'insert'): Entry[] => [
  {
    name: 'Muster',
    once: true,
    settings: { kind: 'muster', insert, slots: insert ? 32 : 512, batch: null },
  },
  ...(work === 'arriving'
    ? []
    : [
        {
          name: 'Muster, batches of 500',
          once: true,
          settings: { kind: 'muster', insert, slots: 4, batch: 500 },
        } satisfies Entry,
      ]),
  {
    name: 'graphile-worker',
    once: false,
    settings: {
      kind: 'graphile-worker',
      insert,
      concurrentJobs: insert ? 32 : 24,
      localQueue: 500,
      completeJobBatchDelay: 0,
      pool: insert ? 32 : 10,
    },
  },
  {
    name: 'pg-boss',
    once: false,
    settings: {
      kind: 'pg-boss',
      insert,
      transactional: false,
      batchSize: 500,
      localConcurrency: 2,
    },
  },
  ...(insert
    ? [
        {
          name: 'pg-boss, transactional',
          once: true,
          settings: {
            kind: 'pg-boss',
            insert,
            transactional: true,
            batchSize: 500,
            localConcurrency: 2,
          },
        } satisfies Entry,
      ]
    : []),
];

/** A multiple of 1,024 as well. */
const WARM_UP = 10_240;

interface Cell {
  readonly seconds: number;
  readonly nodeUs: number;
  readonly postgresUs: number;
  /** The share of runs that were created leased, and so never queued; null for the others and out of a backlog. */
  readonly leased: number | null;
}

class Contender {
  readonly entry: Entry;
  readonly cells: Cell[] = [];
  readonly #work: Work;
  readonly #db: BenchDatabase;
  readonly #worker: Worker<JobsOrder, JobsAnswer>;

  private constructor(
    work: Work,
    entry: Entry,
    db: BenchDatabase,
    worker: Worker<JobsOrder, JobsAnswer>,
  ) {
    this.#work = work;
    this.entry = entry;
    this.#db = db;
    this.#worker = worker;
  }

  static async enter(
    work: Work,
    entry: Entry,
    postgres: SectionContext['postgres'],
  ): Promise<Contender> {
    const { kind } = entry.settings;
    const name = `jobs ${entry.name} ${work}`;
    const content = kind === 'muster' ? 'schema' : 'empty';
    const db = await createDatabase(postgres, name.replaceAll(/\W+/g, '_'), content);
    await db.client.query('create table effect (job text not null)');
    const start = { ...entry.settings, url: db.url };
    return new Contender(work, entry, db, await Worker.start('jobs-worker.ts', start));
  }

  async measure(jobs: number, postgresPid: number): Promise<Cell> {
    const { client } = this.#db;
    const isArriving = this.#work === 'arriving';
    if (this.entry.settings.kind === 'muster') {
      const state = isArriving ? 'waiting' : 'ready';
      await fillSets(client, { from: 0, sets: jobs, rowsPerSet: 2, state });
    } else if (!isArriving) await this.#worker.ask({ kind: 'fill', jobs });
    await client.query('vacuum analyze');
    await client.query('checkpoint');
    const queued = await this.#queued();
    const cpu = () => [cpuOf(this.#worker.pid), cpuOfPostgres(postgresPid)] as const;
    const before = cpu();
    const kind = isArriving ? 'arrive' : 'work';
    const { seconds, handled } = await this.#worker.ask({ kind, jobs });
    const after = cpu();
    const leased =
      isArriving && queued !== null ? 1 - ((await this.#queued())! - queued) / jobs : null;
    await this.#check(jobs, handled);
    return {
      seconds,
      leased,
      nodeUs: (after[0] - before[0]) / jobs,
      postgresUs: (after[1] - before[1]) / jobs,
    };
  }

  async leave(): Promise<void> {
    await this.#worker.end();
    await this.#db.drop();
  }

  /** How many runs were ever queued; null for the other queues. */
  async #queued(): Promise<number | null> {
    if (this.entry.settings.kind !== 'muster') return null;
    const { rows } = await this.#db.client.query<{ queued: number }>(
      `select n_tup_ins::int as queued from pg_stat_user_tables where relname = 'queue' and schemaname = 'muster'`,
    );
    return rows[0]!.queued;
  }

  async #check(jobs: number, handled: number): Promise<void> {
    const { name, settings } = this.entry;
    same(`${name}: handlers called`, handled, jobs);
    const { client } = this.#db;
    const { rows } = await client.query<{ rows: number; jobs: number; done: number }>(
      `select (select count(*)::int from effect) as rows,
              (select count(distinct job)::int from effect) as jobs, (${DONE[settings.kind]}) as done`,
    );
    const effects = settings.insert ? jobs : 0;
    const done = settings.kind === 'graphile-worker' ? 0 : jobs; // it deletes finished jobs
    same(`${name}: rows inserted and runs done`, rows[0], { rows: effects, jobs: effects, done });
    await client.query(`truncate effect${EMPTY[settings.kind]}`);
  }
}

const DONE = {
  muster: `select count(*)::int from muster.sets where state = 'done' and token = 1`,
  'graphile-worker': `select count(*)::int from graphile_worker._private_jobs`,
  'pg-boss': `select count(*)::int from pgboss.job where state = 'completed'`,
} as const;
const EMPTY = {
  muster: ', muster.member, muster.sets, muster.queue, muster.lease, muster.deadline',
  'graphile-worker': '',
  'pg-boss': ', pgboss.job',
} as const;

export async function measureJobs(context: SectionContext): Promise<SectionResult> {
  // Sets arrive in groups of 1,024.
  const count = context.quick ? 1_024 : 20_480;
  const rounds = context.quick ? 1 : 3;
  const measured = {
    noop: await compete('noop', count, rounds, context),
    insert: await compete('insert', count, rounds, context),
    arriving: await compete('arriving', count, rounds, context),
  };
  const rate = (of: Contender) => count / medianOf(of.cells.map(({ seconds }) => seconds));
  const named = (of: readonly Contender[], name: string) =>
    of.find(({ entry }) => entry.name === name)!;
  const [muster, batches, boss] = [
    'Muster',
    'Muster, batches of 500',
    'pg-boss, transactional',
  ].map((name) => named(measured.insert, name)) as [Contender, Contender, Contender];
  const ratio = (of: readonly Contender[]) =>
    rate(named(of, 'Muster')) / rate(named(of, 'graphile-worker'));
  const verdicts = [
    atLeast('no-op runs of a backlog, × graphile-worker', ratio(measured.noop), 1),
    atLeast('no-op runs as sets arrive, × graphile-worker', ratio(measured.arriving), 1.5),
    atLeast('share of them created leased', leasedOf(named(measured.arriving, 'Muster'))!, 0.95),
    atLeast('runs/s of a backlog with one insert', rate(muster), 10_000),
    atLeast(
      'the same in batches of 500, × pg-boss, transactional',
      rate(batches) / rate(boss),
      1.2,
    ),
  ];
  const data = Object.entries(measured).flatMap(([work, of]) =>
    of.map(({ entry, cells }) => ({ ...entry, work, jobs: count, cells })),
  );
  return { data, verdicts };
}

const leasedOf = ({ cells }: Contender): number | null =>
  cells[0]!.leased === null ? null : medianOf(cells.map(({ leased }) => leased!));

async function compete(
  work: Work,
  count: number,
  rounds: number,
  { postgres, say, quick }: SectionContext,
): Promise<Contender[]> {
  const contenders: Contender[] = [];
  try {
    for (const entry of entries(work)) {
      contenders.push(await Contender.enter(work, entry, postgres));
    }
    if (!quick) for (const each of contenders) await each.measure(WARM_UP, postgres.pid); // compiles
    for (let round = 0; round < rounds; round++) {
      for (const each of contenders) each.cells.push(await each.measure(count, postgres.pid));
    }
  } finally {
    for (const each of contenders) await each.leave();
  }
  const of = (each: Contender, what: (cell: Cell) => number) => medianOf(each.cells.map(what));
  const rate = (each: Contender) => count / of(each, ({ seconds }) => seconds);
  const rows = contenders.map((each) => [
    each.entry.name,
    whole(rate(each)),
    of(each, ({ nodeUs }) => nodeUs).toFixed(0),
    of(each, ({ postgresUs }) => postgresUs).toFixed(0),
    (rate(contenders[0]!) / rate(each)).toFixed(2),
    each.entry.once ? 'yes' : 'no',
  ]);
  say(
    grid(
      `${TITLES[work]}: ${whole(count)}; medians of ${rounds} rounds`,
      [
        'runner',
        'runs/s',
        'CPU µs/run: Node',
        'PostgreSQL',
        'Muster is ×',
        'insert with done-mark',
      ],
      rows,
    ),
  );
  return contenders;
}
