import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errorText } from '../../lib/error-text.ts';
import type { Specification } from '../../definitions/specification.ts';
import { type ClusterContext, deployed, services, workloads } from './workloads.ts';
import { brokers } from './brokers.ts';
import { connectors } from './connectors.ts';
import { maxPods, scaling, triggers } from './scaling.ts';
import { deadLetterTopics, delivery, sources } from './sources.ts';
import type { Wanted } from '../database/server.ts';
import { fine, type Group, problem, runChecks, toResult, unchecked } from '../finding.ts';
import { decimalsOf } from './connectors.ts';
import type { Decimals } from '../source/column-forms.ts';
import { tablesOf } from '../../definitions/streams.ts';

const CHECKS = [workloads, services, sources, delivery, brokers, scaling, triggers, connectors];
const REACHABLE = { id: 'cluster.reachable', title: 'reachable' };
const DEFAULT_NAMESPACE = 'muster';

/** What was read from a cluster, including names that the checks of other systems use. */
export interface ClusterView {
  readonly server: string;
  readonly context: ClusterContext;
  /** Maximum number of pods and connections; null if there is no ScaledObject. */
  readonly wanted: Wanted | null;
  /** The connector's `topic.prefix`, taken from the topics of the sources. */
  readonly topicPrefix: string | null;
  /** `decimal.handling.mode` of the connector that reads their tables; null if there is no connector. */
  readonly decimals: Decimals | null;
  /** Consumer group of a function's source. */
  readonly groupOf: (fn: string) => string | null;
  readonly deadLetters: readonly string[];
}

/** Why a cluster could not be read. */
export interface NoCluster {
  readonly why: string;
}

/** Returns whether there is access to a cluster: a kubeconfig, or a pod's service account. */
export function isClusterConfigured(env: NodeJS.ProcessEnv): boolean {
  return (
    Boolean(env['KUBECONFIG']) ||
    existsSync(join(homedir(), '.kube', 'config')) ||
    existsSync('/var/run/secrets/kubernetes.io/serviceaccount/token')
  );
}

/** Reads all objects at once. Only this function loads the client, because it is large. */
export async function readCluster(
  namespace: string | null,
  functions: readonly string[],
  specifications: readonly Specification[],
): Promise<ClusterView | NoCluster> {
  try {
    if (!isClusterConfigured(process.env)) {
      throw new Error('there is no kubeconfig and no service account here');
    }
    const { openCluster } = await import('./read.ts');
    const cluster = await openCluster();
    const there = namespace ?? cluster.namespace ?? DEFAULT_NAMESPACE;
    const objects = await cluster.read(there);
    return viewOf(cluster.server, { namespace: there, objects, functions, specifications });
  } catch (error) {
    return { why: errorText(error) };
  }
}

export function viewOf(server: string, context: ClusterContext): ClusterView {
  const all = deployed(context);
  const read = all.flatMap(({ fn, sources: mine }) => {
    const tables = tablesOf(context.specifications.filter(({ name }) => name === fn)).toSorted();
    return mine.flatMap(({ spec }) =>
      spec.topics.flatMap((topic) => {
        const table = tables.find((each) => topic.endsWith(`.${each}`));
        if (table === undefined) return [];
        return [
          { fn, group: spec.consumerGroup ?? null, prefix: topic.slice(0, -table.length - 1) },
        ];
      }),
    );
  });
  return {
    server,
    context,
    wanted: maxPods(context),
    topicPrefix: read[0]?.prefix ?? null,
    decimals: decimalsOf(context),
    groupOf: (fn) => read.find((each) => each.fn === fn)?.group ?? null,
    deadLetters: deadLetterTopics(context),
  };
}

/** If `isRequested`, a cluster that can't be reached or contains nothing of Muster is a problem. */
export async function clusterGroup(
  cluster: ClusterView | NoCluster,
  isRequested: boolean,
): Promise<Group> {
  if ('why' in cluster) {
    const finding = isRequested
      ? problem(
          cluster.why,
          'kubectl cluster-info   # does the kubeconfig point to the right cluster?',
        )
      : unchecked(cluster.why);
    return { group: 'cluster', at: '', results: [toResult(REACHABLE, finding)] };
  }
  const { server, context } = cluster;
  const at = `${server}, namespace ${context.namespace}`;
  const isEmpty = deployed(context).length === 0 && !('why' in context.objects.deployments);
  if (isEmpty && !isRequested) {
    const why = `nothing in this namespace serves a function: --namespace <its namespace>`;
    return { group: 'cluster', at, results: [toResult(REACHABLE, unchecked(why))] };
  }
  const reached = toResult(REACHABLE, fine('the API server answers'));
  return { group: 'cluster', at, results: [reached, ...(await runChecks(CHECKS, context))] };
}
