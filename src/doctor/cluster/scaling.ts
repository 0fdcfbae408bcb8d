import { SETTINGS } from '../../config/settings.ts';
import { type ClusterContext, deployed, type Deployed, envOf, kubectl } from './cluster.ts';
import { connectionsPerPod, type Wanted } from '../database/database.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import {
  conditionOf,
  type KubeEvent,
  known,
  listed,
  reasonOf,
  type ScaledObject,
} from './objects.ts';

/** ScaledObjects of a function's Deployment. */
function scalersOf({ objects }: ClusterContext, { workload }: Deployed): ScaledObject[] {
  return listed(objects.scaledObjects).filter(
    ({ spec }) => spec.scaleTargetRef.name === workload.metadata.name,
  );
}

/** Pods there may be at a time by what the ScaledObjects say, and their connections; null where there are none. */
export function mostPods(context: ClusterContext): Wanted | null {
  const wanted = deployed(context).flatMap((each) => {
    const { workload, isKnative } = each;
    const scaler = known(context.objects.scaledObjects).find(
      ({ spec }) => spec.scaleTargetRef.name === workload.metadata.name,
    );
    if (isKnative || scaler === undefined) return [];
    const pods = scaler.spec.maxReplicaCount ?? 100; // KEDA's own default
    return [{ pods, connections: pods * connectionsOf(context, each) }];
  });
  if (wanted.length === 0) return null;
  return wanted.reduce((sum, { pods, connections }) => ({
    pods: sum.pods + pods,
    connections: sum.connections + connections,
  }));
}

/** By its own settings, as far as they stand in the Deployment. */
function connectionsOf({ specifications }: ClusterContext, { fn, workload }: Deployed): number {
  const numberOf = (name: 'WRITERS' | 'CONCURRENCY') =>
    Number(envOf(workload, name) ?? SETTINGS[name].fallback);
  const isSetFunction = specifications.some(({ name }) => name === fn);
  return connectionsPerPod(numberOf('WRITERS'), isSetFunction ? numberOf('CONCURRENCY') : 1);
}

export const scaling: Check<ClusterContext> = {
  id: 'cluster.scaling',
  title: 'scaling',
  run(context) {
    const all = deployed(context);
    if (all.length === 0) return [unchecked('no function is deployed here')];
    return all.flatMap((each) =>
      each.isKnative ? judgeKnative(context, each) : judgeKeda(context, each),
    );
  },
};

function judgeKeda(context: ClusterContext, each: Deployed): Finding {
  const { name } = each.workload.metadata;
  const [scaler, second] = scalersOf(context, each);
  if (scaler === undefined) {
    return problem(`no ScaledObject scales deployment/${name}`, 'kubectl apply -k keda');
  }
  if (second !== undefined) {
    return problem(
      `deployment/${name} has two ScaledObjects, which fight: ${scaler.metadata.name}, ${second.metadata.name}`,
      `${kubectl(context)} delete scaledobject ${second.metadata.name}`,
    );
  }
  return judgeState(context, scaler);
}

/** Requests alone scale a Knative Service: something has to make one for work that is due. */
function judgeKnative(context: ClusterContext, { fn, workload }: Deployed): Finding {
  const { name } = workload.metadata;
  const revisions = new RegExp(`^${name}(-\\d{5}-deployment)?$`);
  const fighting = known(context.objects.scaledObjects).find(({ spec }) =>
    revisions.test(spec.scaleTargetRef.name),
  );
  if (fighting !== undefined) {
    return problem(
      `scaledobject/${fighting.metadata.name} scales ksvc/${name}, which Knative scales too`,
      `${kubectl(context)} delete scaledobject ${fighting.metadata.name}`,
    );
  }
  const ping = listed(context.objects.pingSources).find(({ spec }) => spec.sink.ref?.name === name);
  if (ping === undefined) {
    return problem(
      `no PingSource wakes ksvc/${name} for retries and deadlines`,
      'kubectl apply -f knative/kn/ping-source.yaml',
    );
  }
  const ready = conditionOf(ping, 'Ready');
  return ready?.status === 'True'
    ? fine(`${fn}: by Knative, woken by pingsource/${ping.metadata.name}`)
    : problem(
        `pingsource/${ping.metadata.name}, which wakes ksvc/${name}, is not ready: ${reasonOf(ready)}`,
        `${kubectl(context)} describe pingsource ${ping.metadata.name}`,
      );
}

function judgeState(context: ClusterContext, scaler: ScaledObject): Finding {
  const { name, annotations = {} } = scaler.metadata;
  const object = `scaledobject/${name}`;
  const pause = ['autoscaling.keda.sh/paused-replicas', 'autoscaling.keda.sh/paused'].find(
    (each) => annotations[each] !== undefined && annotations[each] !== 'false',
  );
  if (pause !== undefined) {
    return problem(
      `${object} is paused by hand`,
      `${kubectl(context)} annotate scaledobject ${name} ${pause}-`,
    );
  }
  const ready = conditionOf(scaler, 'Ready');
  if (ready?.status !== 'True') {
    return problem(
      `${object} is not ready, and scales nothing: ${reasonOf(ready)}`,
      `${kubectl(context)} describe scaledobject ${name}`,
    );
  }
  const fallback = conditionOf(scaler, 'Fallback');
  if (fallback?.status === 'True') {
    return problem(
      `${object} falls back: a trigger fails (${reasonOf(fallback)})`,
      `${kubectl(context)} describe scaledobject ${name}   # which trigger?`,
    );
  }
  const failure = failureOf(context, scaler);
  if (failure !== null) {
    return problem(
      `a trigger of ${object} fails, whatever its conditions say: ${failure}`,
      `${kubectl(context)} describe scaledobject ${name}   # and look at its events`,
    );
  }
  const { minReplicaCount = 0, maxReplicaCount = 100 } = scaler.spec;
  const active = conditionOf(scaler, 'Active')?.status === 'True' ? 'active' : 'idle';
  return fine(`${object} is ready, ${active}, ${minReplicaCount} to ${maxReplicaCount} pods`);
}

/**
 * Why a trigger fails now; null if none is known to. Where KEDA (2.21) can't even connect to what a
 * trigger asks, all conditions of the ScaledObject stay as they were, nothing is scaled and nothing falls
 * back: only the autoscaler says so, while there are pods, and the newest of its events.
 */
function failureOf({ objects }: ClusterContext, { metadata, spec }: ScaledObject): string | null {
  const autoscaler = known(objects.autoscalers).find(
    (each) => each.spec.scaleTargetRef.name === spec.scaleTargetRef.name,
  );
  const scales = autoscaler === undefined ? undefined : conditionOf(autoscaler, 'ScalingActive');
  if (scales?.status === 'False' && scales.reason?.startsWith('Failed')) return reasonOf(scales);
  const newest = known(objects.events)
    .filter(
      ({ regarding }) => regarding?.kind === 'ScaledObject' && regarding.name === metadata.name,
    )
    .toSorted((a, b) => timeOf(a) - timeOf(b))
    .at(-1);
  return newest?.reason === 'KEDAScalerFailed' ? (newest.note ?? newest.reason) : null;
}

function timeOf({ series, eventTime, deprecatedLastTimestamp, metadata }: KubeEvent): number {
  const last = series?.lastObservedTime ?? eventTime ?? deprecatedLastTimestamp;
  return Date.parse(last ?? metadata.creationTimestamp ?? '') || 0;
}

export const triggers: Check<ClusterContext> = {
  id: 'cluster.triggers',
  title: 'triggers',
  run(context) {
    listed(context.objects.scaledObjects);
    const all = deployed(context).filter((each) => !each.isKnative);
    if (all.length === 0) return [unchecked('no function is scaled by KEDA here')];
    return all.flatMap((each) =>
      scalersOf(context, each).flatMap((scaler) => judgeTriggers(each, scaler)),
    );
  },
};

/** What a trigger must watch: the group that reads, from where it begins. */
interface Reading {
  readonly by: string;
  readonly group: string;
  readonly topics: readonly string[] | null;
  readonly offset: string;
  readonly isUnordered: boolean;
}

function readingsOf({ fn, workload, isPull, sources }: Deployed): Reading[] {
  if (isPull) {
    const group = envOf(workload, 'KAFKA_GROUP') ?? `muster-${fn}`;
    const by = `deployment/${workload.metadata.name}`;
    return [{ by, group, topics: null, offset: 'earliest', isUnordered: false }];
  }
  return sources.map(({ metadata, spec }) => ({
    by: `kafkasource/${metadata.name}`,
    group: spec.consumerGroup ?? '(made by Knative)',
    topics: spec.topics,
    offset: spec.initialOffset ?? 'latest',
    isUnordered: spec.ordering === 'unordered',
  }));
}

function judgeTriggers(each: Deployed, { metadata: { name }, spec }: ScaledObject): Finding[] {
  const kafka = spec.triggers
    .filter(({ type }) => type === 'kafka')
    .map((trigger) => trigger.metadata);
  const findings: Finding[] = [];
  const edit = (what: string) => `set ${what} in scaledobject/${name}`;
  for (const { by, group, topics, offset, isUnordered } of readingsOf(each)) {
    const watching = kafka.filter((trigger) => trigger['consumerGroup'] === group);
    const unwatched = topics?.filter(
      (topic) => !watching.some((it) => (it['topic'] ?? topic) === topic),
    );
    if (watching.length === 0 || (unwatched !== undefined && unwatched.length > 0)) {
      const groups = kafka.map((trigger) => trigger['consumerGroup']).join(', ') || 'none';
      findings.push(
        problem(
          `${by} reads ${unwatched?.join(', ') ?? 'Kafka'} as ${group}, which no trigger of scaledobject/${name} watches (${groups}): its events wake no pod`,
          edit(`consumerGroup: ${group}`),
        ),
      );
      continue;
    }
    for (const trigger of watching) {
      findings.push(...judgeTrigger(trigger, { by, group, offset, isUnordered }, name));
    }
  }
  const isPolled = spec.triggers.some(({ type }) => type === 'postgresql');
  if (!each.isPull && !isPolled) {
    findings.push(
      problem(
        `scaledobject/${name} has no postgresql trigger: at lag 0 handlers are stopped, and no retry or deadline wakes a pod`,
        `add one with: select coalesce(max(total), 0) from muster.due where function = '${each.fn}'`,
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [fine(`those of scaledobject/${name} watch what ${each.fn} reads`)];
}

/** Compares one Kafka trigger with what reads in the group that it watches. */
function judgeTrigger(
  trigger: Readonly<Record<string, string>>,
  { by, group, offset, isUnordered }: Omit<Reading, 'topics'>,
  name: string,
): Finding[] {
  const findings: Finding[] = [];
  const edit = (what: string) => `set ${what} in scaledobject/${name}`;
  const policy = trigger['offsetResetPolicy'] ?? 'latest';
  if (policy !== offset) {
    findings.push(
      problem(
        `${by} begins at ${offset}, the trigger on ${group} at ${policy}: partitions that were never read count wrongly`,
        edit(`offsetResetPolicy: ${offset}`),
      ),
    );
  }
  if (trigger['scaleToZeroOnInvalidOffset'] === 'true' && offset === 'earliest') {
    findings.push(
      problem(
        `the trigger on ${group} does not wake for a partition's first event`,
        `take scaleToZeroOnInvalidOffset out of scaledobject/${name}`,
      ),
    );
  }
  if (Number(trigger['activationLagThreshold'] ?? 0) > 0) {
    findings.push(
      problem(
        `the trigger on ${group} lets single events wait`,
        edit('activationLagThreshold: "0"'),
      ),
    );
  }
  if (isUnordered && trigger['allowIdleConsumers'] !== 'true') {
    findings.push(
      problem(
        `the trigger on ${group} bounds the pods by the partitions`,
        edit('allowIdleConsumers: "true"'),
      ),
    );
  }
  if (trigger['version'] === undefined) {
    findings.push(
      problem(
        `the trigger on ${group} speaks the protocol of Kafka 1.0, which Kafka 4 refuses`,
        edit('version: 3.6.0'),
      ),
    );
  }
  return findings;
}
