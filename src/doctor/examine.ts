import type { Config } from '../config/config.ts';
import { registryOptionsOf } from '../config/schema-registry.ts';
import type { Definition } from '../function.ts';
import { isSetFunction, loadFunctions } from '../definitions/load-functions.ts';
import { specify, type Specification } from '../definitions/specification.ts';
import type { Inspector } from '../state/database/inspector.ts';
import type { Decimals } from './source/column-forms.ts';
import { clock, connections, connectionsPerPod, migrations, version } from './database/server.ts';
import { definitions, orphans } from './database/definitions.ts';
import { ignored } from './database/ignored.ts';
import { rowSources } from './database/row-sources.ts';
import { commits, standbys } from './database/durability.ts';
import { session } from './database/session.ts';
import { bloat, deadRows, snapshots, updates, walSettings } from './database/storage.ts';
import { clusterGroup, type ClusterView, readCluster } from './cluster/examine.ts';
import {
  type Check,
  fine,
  type Group,
  problem,
  type Result,
  runChecks,
  skipChecks,
  toResult,
  unchecked,
} from './finding.ts';
import type { KafkaContext, Stream } from './kafka/topics.ts';
import { login, roles } from './database/login.ts';
import { publication } from './source/publication.ts';
import { placeOf, reach } from './reach.ts';
import { position, slot, sourceClock, type SourceContext, walLevel } from './source/wal.ts';
import { failover } from './source/failover.ts';
import { rights } from './source/self-read.ts';
import { identity, keys, tables } from './source/source-tables.ts';
import { due, failed, outbox, parked, paused } from './database/work.ts';

/** Where to look and the names to look for there; null if not given. */
export interface Whereabouts {
  readonly databaseUrl: string | null;
  readonly sourceUrl: string | null;
  /** An unreachable or empty cluster is a problem if `requested`, but merely not checked if `detected`. */
  readonly cluster: 'requested' | 'detected' | 'no';
  readonly namespace: string | null;
  readonly publication: string;
  readonly slot: string;
  readonly topicPrefix: string | null;
  readonly decimals: Decimals | null;
  readonly group: string | null;
  readonly deadLetters: string | null;
  readonly pods: number | null;
}

const WORK = [definitions, orphans, rowSources, ignored, paused, parked, failed, outbox, due];
const DATABASE = [
  version,
  migrations,
  roles,
  login,
  session,
  commits,
  standbys,
  connections,
  clock,
  updates,
  deadRows,
  bloat,
  snapshots,
  walSettings,
  ...WORK,
];
/**
 * What every reader of a source needs. The checks of tables come first: publishing a table without a replica identity
 * breaks its application.
 */
const READABLE = [tables, keys, identity, publication, slot, failover, position, sourceClock];
const SOURCE = [walLevel, ...READABLE];
const SELF_READ = [walLevel, rights, ...READABLE];

/** Examines everything that can be reached from here, without changing anything. Never throws for what it finds. */
export async function examine(config: Config, where: Whereabouts): Promise<Group[]> {
  const { specifications, streams, group: functions } = await load(config.FUNCTIONS);
  const seen =
    where.cluster === 'no'
      ? { why: 'no cluster requested: use --cluster' }
      : await readCluster(where.namespace, config.FUNCTIONS, specifications);
  const cluster = 'why' in seen ? null : seen;
  const prefix = where.topicPrefix ?? cluster?.topicPrefix ?? 'postgres';
  const perPod = connectionsPerPod(config.WRITERS, config.CONCURRENCY);
  const wanted =
    where.pods === null
      ? (cluster?.wanted ?? null)
      : { pods: where.pods, connections: where.pods * perPod };

  const database = await atPostgres('database', where.databaseUrl, DATABASE, (inspector) => ({
    inspector,
    config,
    specifications,
    wanted,
  }));
  try {
    const source = await atSource(config, where, {
      specifications,
      prefix,
      decimals: cluster?.decimals ?? 'precise',
      state: database.inspector,
    });
    await source.inspector?.close();

    const kafka = await atKafka(where, cluster, { config, specifications, streams, prefix });
    const registry = await atRegistry(config);
    const inCluster = await clusterGroup(seen, where.cluster === 'requested');
    return [functions, database.group, source.group, kafka, ...registry, inCluster];
  } finally {
    await database.inspector?.close();
  }
}

/** Examines the source of connectors, or with INTAKE=wal that of the process itself. */
function atSource(
  config: Config,
  where: Whereabouts,
  of: Pick<SourceContext, 'specifications' | 'decimals' | 'state'> & { readonly prefix: string },
) {
  const { specifications, state, prefix, decimals } = of;
  const isSelf = config.INTAKE === 'wal';
  const { WAL_SLOT: own } = config;
  const names = isSelf
    ? ({ publication: own, slot: own, name: `wal:${own}`, reader: 'muster' } as const)
    : ({
        publication: where.publication,
        slot: where.slot,
        name: prefix,
        reader: 'connector',
      } as const);
  const url = where.sourceUrl ?? (isSelf ? config.SOURCE_DATABASE_URL : null);
  return atPostgres('source', url, isSelf ? SELF_READ : SOURCE, (inspector) => ({
    inspector,
    specifications,
    ...names,
    decimals: isSelf ? 'precise' : (where.decimals ?? decimals),
    state,
  }));
}

/** A function that can't be loaded does not prevent the rest from being examined. */
async function load(
  names: readonly string[],
): Promise<{ specifications: Specification[]; streams: Stream[]; group: Group }> {
  const check = { id: 'functions.definition', title: 'definition' };
  const specifications: Specification[] = [];
  const streams: Stream[] = [];
  const results: Result[] = [];
  for (const name of names) {
    try {
      const [definition] = (await loadFunctions([name])) as [Definition];
      if (isSetFunction(definition)) specifications.push(specify(definition));
      else streams.push({ fn: name, topic: definition.topic });
      results.push(toResult(check, fine(name)));
    } catch (error) {
      results.push(toResult(check, problem((error as Error).message, `fix functions/${name}.ts`)));
    }
  }
  return { specifications, streams, group: { group: 'functions', at: '', results } };
}

async function atKafka(
  { group, deadLetters }: Whereabouts,
  cluster: ClusterView | null,
  context: Pick<KafkaContext, 'config' | 'specifications' | 'streams' | 'prefix'>,
): Promise<Group> {
  const brokers = context.config.KAFKA_BROKERS;
  if (brokers === null) return unnamed('kafka', 'no broker given: use --brokers or KAFKA_BROKERS');
  const { kafkaGroup } = await import('./kafka/examine.ts');
  return kafkaGroup({
    ...context,
    brokers: brokers.join(','),
    groupOf: (fn) => group ?? cluster?.groupOf(fn) ?? `${context.config.KAFKA_GROUP_PREFIX}${fn}`,
    deadLetters: deadLetters?.split(',') ?? cluster?.deadLetters ?? [],
  });
}

/** Without a registry there is nothing to report: few use one. */
async function atRegistry(config: Config): Promise<Group[]> {
  const options = registryOptionsOf(config);
  if (options === null) return [];
  const { registryGroup } = await import('./registry.ts');
  return [await registryGroup(options)];
}

const POSTGRES = {
  database: { variable: 'DATABASE_URL', unnamed: 'DATABASE_URL is not set' },
  source: { variable: 'SOURCE_URL', unnamed: 'no source given: use --source or SOURCE_URL' },
} as const;

/** Connects and runs the checks; the caller closes the inspector. */
async function atPostgres<Context>(
  group: 'database' | 'source',
  url: string | null,
  checks: readonly Check<Context>[],
  contextOf: (inspector: Inspector) => Context,
): Promise<{ group: Group; inspector: Inspector | null }> {
  if (url === null) return { group: unnamed(group, POSTGRES[group].unnamed), inspector: null };
  const { inspector, finding } = await reach(url, POSTGRES[group].variable);
  const reached = toResult(reachable(group), finding);
  const results =
    inspector === null
      ? skipChecks(checks, 'not reachable')
      : await runChecks(checks, contextOf(inspector));
  return { group: { group, at: placeOf(url), results: [reached, ...results] }, inspector };
}

/** A system that was not named: one result stands for all of its checks. */
function unnamed(group: Group['group'], why: string): Group {
  return { group, at: '', results: [toResult(reachable(group), unchecked(why))] };
}

function reachable(group: Group['group']): { id: string; title: string } {
  return { id: `${group}.reachable`, title: 'reachable' };
}
