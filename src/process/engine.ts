import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config/config.ts';
import type { FunctionDefinition, Log } from '../function.ts';
import type { Sink } from '../outbox/http-sink.ts';
import { openSink } from '../outbox/open-sink.ts';
import { startPublishing, type Publishing } from '../outbox/publishing.ts';
import type { ChangeIngestor } from '../state/ingest/change-ingestor.ts';
import { Unavailable } from '../state/outcome.ts';
import { countDue } from '../state/queries/due.ts';
import { pruneAll } from '../state/runs/deadlines.ts';
import { startClaiming } from './loops/claim.ts';
import { startDeadlines } from './loops/deadlines.ts';
import { startPurging } from './loops/purge.ts';
import { startReEvaluating } from './loops/re-evaluate.ts';
import { startRenewing } from './loops/renew.ts';
import type { Metrics } from './metrics.ts';
import { createParts, type Parts } from './parts.ts';
import { registerAll } from './register-functions.ts';
import { openWarmConnection, type WarmConnection } from './warm-connection.ts';

/** A stop may spend this long on dropping reminders that nobody has to be woken for. */
const PRUNE_MS = 1_000;
/**
 * The loops begin one after the other, so that they share a connection: opened all at once, theirs hold
 * up the event or the run that a process was started for.
 */
const FIRST_MS = { publishing: 50, deadlines: 100, reEvaluating: 200, purging: 250 } as const;
/** How often it is asked whether anything is left to do, while a ping waits for the answer. */
const SETTLED_EVERY_MS = 250;

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
  settle(withinMs: number): Promise<void>;
  /**
   * Refuses new events, answers those it has, ends or gives back its runs, closes the database. Runs
   * under way may take `drainMs`; DRAIN_SECONDS unless given.
   */
  stop(drainMs?: number): Promise<void>;
}

/**
 * Registers the functions and starts work on a database that is closed when it ends. Rejects, with the
 * database closed, if that can't be used, and with `Superseded` while another release is to serve.
 *
 * A definition that is not the newest is registered last of all, for that closes the workers of another
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
    settle: (withinMs) => settle(parts, loops, withinMs),
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

async function settle(
  { database, served, ingestor }: Parts,
  { claiming, deadlines, publishing }: Loops,
  withinMs: number,
): Promise<void> {
  const names = served.map((each) => each.specification.name);
  for (let until = performance.now() + withinMs; ; await sleep(SETTLED_EVERY_MS)) {
    if (ingestor.closed !== null) throw ingestor.closed;
    if ((await countDue(database, names)) === 0 || performance.now() >= until) return;
    for (const each of [claiming, deadlines, publishing]) each.poke();
  }
}

async function stop(parts: Parts, loops: Loops, drainMs: number): Promise<void> {
  const { database, served, ingestor, runner, positions, close, onError } = parts;
  const { deadlines, reEvaluating, purging, claiming, renewing, publishing } = loops;
  close(new Unavailable('draining', 'this process is stopping'));
  await Promise.all([deadlines, reEvaluating, purging, claiming].map((loop) => loop.stop()));
  await ingestor.settled();
  await runner.drain(drainMs);
  await renewing.stop();
  await publishing.stop();
  const ids = served.map((each) => each.id);
  const pruned = pruneAll(database, ids, PRUNE_MS).catch(onError('pruning deadlines'));
  await Promise.race([pruned, sleep(2 * PRUNE_MS)]); // a database that is away holds up no stop
  await runner.deregister();
  await positions.exchange().catch(onError('writing log positions'));
  await database.close();
}
