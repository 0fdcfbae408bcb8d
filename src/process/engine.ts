import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import type { Sink } from '../outbox/http-sink.ts';
import { openSink } from '../outbox/open-sink.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { LogPositions } from '../state/ingest/log-positions.ts';
import { Store } from '../state/ingest/store.ts';
import { Unavailable } from '../state/outcome.ts';
import { countDue } from '../state/queries/due.ts';
import { pruneAll } from '../state/runs/deadlines.ts';
import { createIngestor } from './create-ingestor.ts';
import { createRunner } from './create-runner.ts';
import { registrationsOf, retried, type EngineContext } from './engine-context.ts';
import { startLoops, type Loops } from './loops/loops.ts';
import type { Metrics } from './metrics.ts';
import { registerAll } from './register-functions.ts';
import { openWarmConnection, type WarmConnection } from './warm-connection.ts';

/** Time limit at a stop for deleting deadlines of complete sets, for which no process has to be woken. */
const PRUNE_MS = 1_000;
/** Interval at which {@link Engine.untilIdle} checks whether work is left, while a ping waits for the answer. */
const IDLE_CHECK_MS = 250;

/** The state and the runs of one process: ingests changes, runs handlers, fires deadlines, publishes events. */
export interface Engine {
  /** Receives changes. */
  readonly ingestor: ChangeIngestor;
  /** Resolves when the first change would be ingested as fast as later ones. Never rejects. */
  readonly warm: Promise<void>;
  /** Why this process must get no events; null if it may. */
  unready(): string | null;
  /** Why outgoing events wait until an operator acts; null if they do not. Intake continues meanwhile. */
  sinkTrouble(): string | null;
  /**
   * Starts due work at once. Resolves when no run of its functions is running or due in any process, or after
   * `withinMs`. Throws {@link Unavailable}.
   */
  untilIdle(withinMs: number): Promise<void>;
  /**
   * Refuses new events, answers those in progress, finishes or releases its runs, and closes the database.
   * `drainMs` is the grace period for running handlers; default: DRAIN_SECONDS.
   */
  stop(drainMs?: number): Promise<void>;
}

/**
 * Registers the functions and starts to work on the database of `opening`, which closes when the engine
 * stops. Rejects, with the database closed, if the database can't be used, and with `Superseded` while
 * another release is to serve.
 *
 * A definition that is not the newest is registered last of all, because that closes the workers of another
 * release. While one of them is alive, `relieve` comes first: it resolves when this process can take over.
 */
export async function startEngine(
  config: Config,
  definitions: readonly FunctionDefinition[],
  log: Log,
  metrics: Metrics,
  opening = openWarmConnection(config, definitions),
  relieve: () => Promise<void> = async () => {},
): Promise<Engine> {
  const { database } = opening;
  opening.onLost = (error) => log.warn({ error: error.message }, 'a database connection was lost');
  const opened = openSink(config, log);
  try {
    await opening.controls;
    const [functions, sink] = await Promise.all([
      registerAll(database, definitions, log, async () => {
        await opened;
        await relieve();
      }),
      opened,
    ]);
    return await assemble({ config, database, functions, log, metrics }, opening, sink);
  } catch (error) {
    const closing = opened.then(
      (each) => each?.close(),
      () => {},
    );
    await Promise.all([closing, database.close()]);
    throw error;
  }
}

async function assemble(
  context: EngineContext,
  { writes }: WarmConnection,
  sink: Sink | null,
): Promise<Engine> {
  const { config, database, log } = context;
  const served = registrationsOf(context);
  const names = served.map((each) => each.specification.name);
  // Null until the worker is registered; before that nothing needs to be woken.
  let loops: Loops | null = null;
  const runner = createRunner(context, {
    onFree: () => loops?.claiming.poke(),
    onOutgoing: () => loops?.publishing.poke(),
  });
  const store = new Store(database, served, () => runner.worker);
  const positions = new LogPositions(database);
  let isClosed = false;
  const close = (reason: Unavailable) => {
    if (!isClosed) log.warn({ reason: reason.reason }, reason.message);
    isClosed = true;
    ingestor.close(reason);
  };
  const ingestor = createIngestor(context, store, positions, runner, close);

  await positions.exchange();
  await runner.register();
  const running = startLoops(context, { runner, store, positions, ingestor, sink, close });
  loops = running;

  return {
    ingestor,
    warm: writes,
    unready: () => ingestor.closed?.message ?? null,
    sinkTrouble: () => running.publishing.trouble(),
    async untilIdle(withinMs) {
      for (let until = performance.now() + withinMs; ; await sleep(IDLE_CHECK_MS)) {
        if (ingestor.closed !== null) throw ingestor.closed;
        if ((await countDue(database, names)) === 0 || performance.now() >= until) return;
        for (const each of [running.claiming, running.deadlines, running.publishing]) each.poke();
      }
    },
    async stop(drainMs = config.DRAIN_SECONDS * 1000) {
      close(new Unavailable('draining', 'this process is stopping'));
      const { claiming, deadlines, reEvaluation, purging } = running;
      await Promise.all([deadlines, reEvaluation, purging, claiming].map((loop) => loop.stop()));
      await ingestor.settled();
      await runner.drain(drainMs);
      await running.heartbeat.stop();
      await running.publishing.stop();
      await pruneAtStop(context);
      await runner.deregister();
      await positions.exchange().catch(retried(context, 'storing log positions'));
      await database.close();
    },
  };
}

/** Deletes the deadlines of complete sets. An unreachable database does not delay the stop. */
async function pruneAtStop(context: EngineContext): Promise<void> {
  const ids = registrationsOf(context).map((each) => each.id);
  const pruned = pruneAll(context.database, ids, PRUNE_MS).catch(
    retried(context, 'pruning deadlines'),
  );
  await Promise.race([pruned, sleep(2 * PRUNE_MS)]);
}
