import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import type { Sink } from '../outbox/sink.ts';
import { openSink } from '../outbox/open-sink.ts';
import { startPublishing, type Publishing } from '../outbox/publishing.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { Unavailable } from '../state/outcome.ts';
import { countDue } from '../state/queries/due.ts';
import { pruneAll } from '../state/runs/deadlines.ts';
import { startClaiming } from './loops/claim.ts';
import { startDeadlines } from './loops/deadlines.ts';
import { startCountingIgnored } from './loops/ignored.ts';
import { startPurging } from './loops/purge.ts';
import { startReEvaluating } from './loops/re-evaluate.ts';
import { startRenewing } from './loops/renew.ts';
import type { Metrics } from './metrics.ts';
import { createParts, type Parts } from './parts.ts';
import { registerAll } from './register-functions.ts';
import { openWarmConnection, type WarmConnection } from './warm-connection.ts';

/** Time limit at a stop for deleting deadlines of complete sets, for which no process has to be woken. */
const PRUNE_MS = 1_000;
/**
 * Delay of each loop's first turn. They start one after the other so that they share a connection: if all of
 * them opened one at once, that would hold up the event or the run that the process was started for.
 */
const FIRST_MS = {
  publishing: 50,
  deadlines: 100,
  reEvaluating: 200,
  purging: 250,
  ignored: 1_000,
} as const;
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
  opening.onLost = (error) => log.warn({ error: error.message }, 'a database connection was lost');
  const sink = openSink(config, log);
  try {
    await opening.controls;
    return await start(opening, sink, config, definitions, log, metrics, relieve);
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
  relieve: () => Promise<void>,
): Promise<Engine> {
  const [functions, sink] = await Promise.all([
    registerAll(database, definitions, log, async () => {
      await opened;
      await relieve();
    }),
    opened,
  ]);
  const parts = createParts(database, functions, config, log, metrics);
  await parts.positions.exchange();
  await parts.runner.register();
  const loops = startLoops(parts, sink);
  return {
    ingestor: parts.ingestor,
    warm: writes,
    unready: () => parts.ingestor.closed?.message ?? null,
    sinkTrouble: () => loops.publishing.trouble(),
    untilIdle: (withinMs) => untilIdle(parts, loops, withinMs),
    stop: (drainMs = config.DRAIN_SECONDS * 1000) => stop(parts, loops, drainMs),
  };
}

type Loops = ReturnType<typeof startLoops>;

function startLoops(parts: Parts, sink: Sink | null) {
  const renewing = startRenewing(parts);
  return {
    publishing: publish(parts, sink),
    claiming: startClaiming(parts),
    renewing: renewing.loop,
    deadlines: startDeadlines(parts, renewing.servingSince, FIRST_MS.deadlines),
    reEvaluating: startReEvaluating(parts, FIRST_MS.reEvaluating),
    purging: startPurging(parts, FIRST_MS.purging),
    ignored: startCountingIgnored(parts, FIRST_MS.ignored),
  };
}

function publish(parts: Parts, sink: Sink | null): Publishing {
  const { database, served, config, log, metrics, runner, wakeups, onError } = parts;
  const publishing = startPublishing({
    database,
    served,
    sink,
    worker: () => runner.worker,
    everyMs: config.CLAIM_SECONDS * 1000,
    firstMs: FIRST_MS.publishing,
    log,
    metrics,
    onError: onError('publishing'),
  });
  wakeups.on('outboxFilled', () => publishing.poke());
  return publishing;
}

async function untilIdle(
  { database, served, ingestor }: Parts,
  { claiming, deadlines, publishing }: Loops,
  withinMs: number,
): Promise<void> {
  const names = served.map((each) => each.specification.name);
  for (let until = performance.now() + withinMs; ; await sleep(IDLE_CHECK_MS)) {
    if (ingestor.closed !== null) throw ingestor.closed;
    if ((await countDue(database, names)) === 0 || performance.now() >= until) return;
    for (const each of [claiming, deadlines, publishing]) each.poke();
  }
}

async function stop(parts: Parts, loops: Loops, drainMs: number): Promise<void> {
  const { database, served, ingestor, runner, positions, close, onError } = parts;
  const { deadlines, reEvaluating, purging, claiming, renewing, publishing, ignored } = loops;
  close(new Unavailable('draining', 'this process is stopping'));
  await Promise.all(
    [deadlines, reEvaluating, purging, claiming, ignored].map((loop) => loop.stop()),
  );
  await ingestor.whenIdle();
  await runner.drain(drainMs);
  const counted = ingestor.ignored.write(database).catch(onError('counting ignored events'));
  await renewing.stop();
  await publishing.stop();
  const ids = served.map((each) => each.id);
  const pruned = pruneAll(database, ids, PRUNE_MS).catch(onError('pruning deadlines'));
  // an unreachable database does not delay the stop
  await Promise.race([Promise.all([pruned, counted]), sleep(2 * PRUNE_MS)]);
  await runner.deregister();
  await positions.exchange().catch(onError('writing log positions'));
  await database.close();
}
