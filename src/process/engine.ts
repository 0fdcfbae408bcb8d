import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import { errorText } from '../lib/error-text.ts';
import { Loop } from '../lib/loop.ts';
import { withTimeout } from '../lib/timeout.ts';
import type { Metrics } from './metrics.ts';
import { openWarmConnection, type WarmConnection } from './warm-connection.ts';
import { openSink } from '../outbox/open-sink.ts';
import type { Sink } from '../outbox/sink.ts';
import { startPublishing } from '../outbox/publishing.ts';
import { Runner } from '../runs/runner.ts';
import { Batcher } from '../state/ingest/batcher.ts';
import { requireCurrent } from '../state/registration/current.ts';
import type { Database } from '../state/database/database.ts';
import { fireDeadlines, pruneAll, pruneDeadlines } from '../state/runs/deadlines.ts';
import { specify } from '../definitions/specification.ts';
import { countDue } from '../state/queries/due.ts';
import { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { LogPositions } from '../state/ingest/log-positions.ts';
import type { RegisteredFunction } from '../definitions/registered-function.ts';
import { Unavailable } from '../state/outcome.ts';
import { purge } from '../state/purge.ts';
import { register, registered, Superseded } from '../state/registration/register.ts';
import { reEvaluate } from '../state/ingest/re-evaluate.ts';
import { Runs } from '../state/runs/runs.ts';
import { Store } from '../state/ingest/store.ts';

const PURGE_EVERY_SECONDS = 3600;
/** Of all processes together one purges; each looks so often whether it is time. */
const PURGE_LOOK_MS = 60_000;
/** A stop looks so long for reminders that nobody has to be woken for. */
const PRUNE_MS = 1_000;
const REVIEW_EVERY_MS = 60_000;
/**
 * The loops begin one after the other, so that they share a connection: opened all at once, theirs hold
 * up the event or the run that a process was started for.
 */
const FIRST_MS = { publishing: 50, deadlines: 100, reviewing: 200, purging: 250 } as const;
/** How often it is asked whether anything is left to do, while a ping waits for the answer. */
const IDLE_CHECK_MS = 250;

/** State and runs of one process: takes changes, runs handlers, keeps deadlines, publishes. */
export interface Engine {
  /** The door for changes. */
  readonly ingestor: ChangeIngestor;
  /** Resolves when the first change would be ingested as quickly as others. Never rejects. */
  readonly warm: Promise<void>;
  /** Why this process should get no events; null when it should. */
  unready(): string | null;
  /** Why events do not go out and only an operator can change that; null while they do. Intake goes on. */
  sinkTrouble(): string | null;
  /**
   * Does what is due at once; resolves when nothing of its functions is running or due in any process,
   * or after so many milliseconds. Throws Unavailable.
   */
  whenIdle(withinMs: number): Promise<void>;
  /**
   * Refuses new events, answers those it has, ends or gives back its runs, closes the database. Runs
   * under way may take `drainMs`; DRAIN_SECONDS unless given.
   */
  stop(drainMs?: number): Promise<void>;
}

/**
 * Registers the functions and starts work on a database that is closed when it ends. Rejects, with the
 * database closed, if that can't be used.
 */
export async function startEngine(
  config: Config,
  definitions: readonly FunctionDefinition[],
  log: Log,
  metrics: Metrics,
  opening = openWarmConnection(config, definitions),
): Promise<Engine> {
  opening.onLost = (error) => log.warn({ error: error.message }, 'a database connection was lost');
  const sink = openSink(config, log);
  try {
    await opening.controls;
    return await start(opening, sink, config, definitions, log, metrics);
  } catch (error) {
    const closing = sink.then(
      (each) => each?.close(),
      () => {},
    );
    await Promise.all([closing, opening.database.close()]);
    throw error;
  }
}

async function start(
  { database, writes }: WarmConnection,
  opened: Promise<Sink | null>,
  config: Config,
  definitions: readonly FunctionDefinition[],
  log: Log,
  metrics: Metrics,
): Promise<Engine> {
  const [{ functions, superseded }, sink] = await Promise.all([
    registerAll(database, definitions),
    opened,
  ]);
  const served = functions.map((each) => each.served);
  const ids = served.map((each) => each.id);
  const nameOf = new Map(served.map(({ id, specification }) => [id, specification.name]));
  const claimMs = config.CLAIM_SECONDS * 1000;
  const failed = (what: string) => (error: unknown) =>
    log.warn({ error: errorText(error) }, `${what} failed, trying again`);

  const runner = new Runner({
    database,
    runs: new Runs(database, served),
    functions,
    slots: config.CONCURRENCY,
    leaseSeconds: config.LEASE_SECONDS,
    url: config.DATABASE_URL,
    maxSetBytes: config.SET_LIMIT_MIB * 1024 * 1024,
    log,
    onBlocked(blockers, seconds) {
      for (const fn of blockers) metrics.loopBlocked.inc({ function: fn }, seconds);
      log.warn({ functions: blockers, seconds }, 'a handler blocked the event loop');
    },
    onResult(fn, { outcome, events }, seconds) {
      metrics.runs.inc({ function: fn, outcome });
      metrics.runSeconds.observe({ function: fn }, seconds);
      if (events > 0 || outcome === 'failed') publishing.poke();
    },
    onFree: () => claiming.poke(),
  });
  const store = new Store(database, served, () => runner.worker);
  const positions = new LogPositions(database);
  const batcher = new Batcher(store, runner, {
    writers: config.WRITERS,
    maxBytes: config.QUEUE_MIB * 1024 * 1024,
    onIngested(ingested, events) {
      metrics.batchSize.observe(events);
      let completed = 0;
      for (const [id, sets] of ingested.completed) {
        completed += sets;
        metrics.completed.inc({ function: nameOf.get(id)! }, sets);
      }
      if (completed > ingested.leases.length) runner.expectBacklog();
    },
    onSuperseded: (error) => close(error),
  });
  const ingestor = new ChangeIngestor(database, store, batcher, positions, served);
  let closed = false;
  const close = (reason: Unavailable) => {
    if (!closed) log.warn({ reason: reason.reason }, reason.message);
    closed = true;
    ingestor.close(reason);
  };
  if (superseded !== null) close(new Unavailable('superseded', superseded.message));

  await positions.exchange();
  await runner.register();
  let servingSince = performance.now();

  const publishing = startPublishing({
    database,
    served,
    sink,
    worker: () => runner.worker,
    everyMs: claimMs,
    firstMs: FIRST_MS.publishing,
    log,
    metrics,
    onError: failed('publishing'),
  });

  /** After an outage the missing event may still wait in Kafka: see that intake is idle, or has long served. */
  const deadlinesHeldBack = () => {
    const grace = config.DEADLINE_GRACE_SECONDS * 1000;
    const now = performance.now();
    const idle = now - Math.max(ingestor.lastEventAt, servingSince) >= grace;
    return !idle && now - servingSince < 6 * grace;
  };

  const claiming = new Loop(
    claimMs,
    async () => (ingestor.closed === null ? runner.claim() : undefined),
    failed('claiming runs'),
  );
  const renewing = new Loop(
    (config.LEASE_SECONDS * 1000) / 3,
    async () => {
      try {
        await runner.renew();
        await positions.exchange();
        await requireCurrent(database, served);
      } catch (error) {
        if (error instanceof Unavailable && error.reason === 'superseded') return close(error);
        servingSince = performance.now();
        throw error;
      }
    },
    failed('renewing leases'),
    (config.LEASE_SECONDS * 1000) / 3,
  );
  const deadlines = new Loop(
    claimMs,
    async () => {
      if (ingestor.closed !== null) return false;
      const pruning = await pruneDeadlines(database, ids);
      if (deadlinesHeldBack()) return pruning;
      const { overdue, more } = await fireDeadlines(database, ids);
      for (const set of overdue) {
        metrics.overdue.inc({ function: set.function });
        log.warn(set, 'set is overdue');
      }
      if (overdue.length > 0) publishing.poke();
      return pruning || more;
    },
    failed('firing deadlines'),
    FIRST_MS.deadlines,
  );
  const stopped = () => ingestor.closed !== null;
  const reviewing = new Loop(
    REVIEW_EVERY_MS,
    () => reEvaluate(database, store, served, stopped),
    failed('holding sets against a new rule'),
    FIRST_MS.reviewing,
  );
  const purging = new Loop(
    PURGE_LOOK_MS,
    async () => {
      const tombstoneSeconds = config.TOMBSTONE_DAYS * 86_400;
      const options = { tombstoneSeconds, everySeconds: PURGE_EVERY_SECONDS, stopped };
      const purged = await purge(database, functions, options);
      if (purged.sets + purged.members > 0) log.info(purged, 'purged');
    },
    failed('purging'),
    FIRST_MS.purging,
  );

  return {
    ingestor,
    warm: writes,
    unready: () => ingestor.closed?.message ?? null,
    sinkTrouble: () => publishing.trouble(),
    async whenIdle(withinMs) {
      const names = served.map((each) => each.specification.name);
      for (let until = performance.now() + withinMs; ; await sleep(IDLE_CHECK_MS)) {
        if (ingestor.closed !== null) throw ingestor.closed;
        if ((await countDue(database, names)) === 0 || performance.now() >= until) return;
        for (const each of [claiming, deadlines, publishing]) each.poke();
      }
    },
    async stop(drainMs = config.DRAIN_SECONDS * 1000) {
      close(new Unavailable('draining', 'this process is stopping'));
      await Promise.all([deadlines, reviewing, purging, claiming].map((loop) => loop.stop()));
      await ingestor.whenIdle();
      await runner.drain(drainMs);
      await renewing.stop();
      await publishing.stop();
      const pruned = pruneAll(database, ids, PRUNE_MS).catch(failed('pruning deadlines'));
      await withTimeout(pruned, 2 * PRUNE_MS); // a database that is away holds up no stop
      await runner.deregister();
      await positions.exchange().catch(failed('writing marks'));
      await database.close();
    },
  };
}

/** Registers every function; a superseded one leaves the process up but closed, so that it says why. */
async function registerAll(database: Database, definitions: readonly FunctionDefinition[]) {
  const specified = definitions.map((definition) => [definition, specify(definition)] as const);
  const known = await registered(
    database,
    specified.map(([, specification]) => specification),
  );
  const functions: { definition: FunctionDefinition; served: RegisteredFunction }[] = [];
  let superseded: Superseded | null = null;
  for (const [definition, specification] of specified) {
    try {
      const served = known.get(specification.name) ?? (await register(database, specification));
      functions.push({ definition, served });
    } catch (error) {
      if (!(error instanceof Superseded)) throw error;
      superseded = error;
    }
  }
  return { functions, superseded };
}
