import { SETTINGS } from '../../config/settings.ts';
import { type ClusterContext, deployed, type Deployed, envOf, kubectl } from './workloads.ts';
import { connectionsPerPod, type Wanted } from '../database/server.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import {
  conditionOf,
  type KubeEvent,
  known,
  listed,
  reasonOf,
  type ScaledObject,
} from './objects.ts';

/** Returns the ScaledObjects of a function's Deployment. */
function scalersOf({ objects }: ClusterContext, { workload }: Deployed): ScaledObject[] {
  return listed(objects.scaledObjects).filter(
    ({ spec }) => spec.scaleTargetRef.name === workload.metadata.name,
  );
}

/** Returns the maximum number of pods according to the ScaledObjects, and of their connections, or null. */
export function maxPods(context: ClusterContext): Wanted | null {
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

/** Returns the connections of a pod, by the settings in the Deployment and otherwise the defaults. */
function connectionsOf(context: ClusterContext, each: Deployed): number {
  const { workload } = each;
  const numberOf = (name: 'WRITERS' | 'CONCURRENCY') =>
    Number(envOf(workload, name) ?? SETTINGS[name].fallback);
  const handlers = isSetFunction(context, each) ? numberOf('CONCURRENCY') : 1;
  return connectionsPerPod(numberOf('WRITERS'), handlers);
}

/** Whether it has runs and deadlines; a projection has neither. */
function isSetFunction({ specifications }: ClusterContext, { fn }: Deployed): boolean {
  return specifications.some(({ name }) => name === fn);
}

export const scaling: Check<ClusterContext> = {
  id: 'cluster.scaling',
  title: 'scaling',
  run(context) {
    const all = deployed(context);
    if (all.length === 0) return [unchecked('no function is deployed here')];
    return all.flatMap((each) =>
      each.isKnative ? checkKnative(context, each) : checkKeda(context, each),
    );
  },
};

function checkKeda(context: ClusterContext, each: Deployed): Finding {
  const { name } = each.workload.metadata;
  const [scaler, second] = scalersOf(context, each);
  if (scaler === undefined && each.intake === 'wal') {
    return fine(`${each.fn}: not scaled; its pods read the log of the source`);
  }
  if (scaler === undefined) {
    return problem(`no ScaledObject scales deployment/${name}`, 'kubectl apply -k keda');
  }
  if (second !== undefined) {
    return problem(
      `deployment/${name} has two ScaledObjects, which conflict: ${scaler.metadata.name}, ${second.metadata.name}`,
      `${kubectl(context)} delete scaledobject ${second.metadata.name}`,
    );
  }
  return checkState(context, scaler);
}

/** Only requests scale a Knative Service, so something has to send one when work is due. */
function checkKnative(context: ClusterContext, { fn, workload }: Deployed): Finding {
  const { name } = workload.metadata;
  const revisions = new RegExp(`^${name}(-\\d{5}-deployment)?$`);
  const conflicting = known(context.objects.scaledObjects).find(({ spec }) =>
    revisions.test(spec.scaleTargetRef.name),
  );
  if (conflicting !== undefined) {
    return problem(
      `scaledobject/${conflicting.metadata.name} scales ksvc/${name}, which Knative scales too`,
      `${kubectl(context)} delete scaledobject ${conflicting.metadata.name}`,
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
    ? fine(`${fn}: scaled by Knative, woken by pingsource/${ping.metadata.name}`)
    : problem(
        `pingsource/${ping.metadata.name}, which wakes ksvc/${name}, is not ready: ${reasonOf(ready)}`,
        `${kubectl(context)} describe pingsource ${ping.metadata.name}`,
      );
}

function checkState(context: ClusterContext, scaler: ScaledObject): Finding {
  const { name, annotations = {} } = scaler.metadata;
  const object = `scaledobject/${name}`;
  const pause = ['autoscaling.keda.sh/paused-replicas', 'autoscaling.keda.sh/paused'].find(
    (each) => annotations[each] !== undefined && annotations[each] !== 'false',
  );
  if (pause !== undefined) {
    return problem(
      `${object} is paused by an annotation`,
      `${kubectl(context)} annotate scaledobject ${name} ${pause}-`,
    );
  }
  const ready = conditionOf(scaler, 'Ready');
  if (ready?.status !== 'True') {
    return problem(
      `${object} is not ready and scales nothing: ${reasonOf(ready)}`,
      `${kubectl(context)} describe scaledobject ${name}`,
    );
  }
  const fallback = conditionOf(scaler, 'Fallback');
  if (fallback?.status === 'True') {
    return problem(
      `${object} uses its fallback: a trigger fails (${reasonOf(fallback)})`,
      `${kubectl(context)} describe scaledobject ${name}   # which trigger?`,
    );
  }
  const failure = failureOf(context, scaler);
  if (failure !== null) {
    return problem(
      `a trigger of ${object} fails although its conditions do not show it: ${failure}`,
      `${kubectl(context)} describe scaledobject ${name}   # and look at its events`,
    );
  }
  const { minReplicaCount = 0, maxReplicaCount = 100 } = scaler.spec;
  const active = conditionOf(scaler, 'Active')?.status === 'True' ? 'active' : 'idle';
  return fine(`${object} is ready, ${active}, ${minReplicaCount} to ${maxReplicaCount} pods`);
}

/**
 * Returns why a trigger currently fails; null if none is known to. If KEDA (2.21) can't even connect to the
 * system that a trigger queries, all conditions of the ScaledObject stay unchanged, nothing is scaled, and
 * there is no fallback: only the autoscaler (while there are pods) and the newest event show the failure.
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
      scalersOf(context, each).flatMap((scaler) => checkTriggers(context, each, scaler)),
    );
  },
};

/** What a trigger must watch: a consumer group, and the offset from which it starts. */
interface Reading {
  readonly by: string;
  readonly group: string;
  readonly topics: readonly string[] | null;
  readonly offset: string;
  readonly isUnordered: boolean;
}

function readingsOf({ fn, workload, intake, sources }: Deployed): Reading[] {
  if (intake === 'wal') return [];
  if (intake === 'kafka') {
    const prefix = envOf(workload, 'KAFKA_GROUP_PREFIX') ?? SETTINGS.KAFKA_GROUP_PREFIX.fallback;
    const group = envOf(workload, 'KAFKA_GROUP') ?? `${prefix}${fn}`;
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

function checkTriggers(
  context: ClusterContext,
  each: Deployed,
  { metadata: { name }, spec }: ScaledObject,
): Finding[] {
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
          `${by} reads ${unwatched?.join(', ') ?? 'Kafka'} as ${group}, which no trigger of scaledobject/${name} watches (${groups}): their events do not wake a pod`,
          edit(`consumerGroup: ${group}`),
        ),
      );
      continue;
    }
    for (const trigger of watching) {
      findings.push(...checkTrigger(trigger, { by, group, offset, isUnordered }, name));
    }
  }
  const isPolled = spec.triggers.some(({ type }) => type === 'postgresql');
  const isKeptUp = (spec.minReplicaCount ?? 0) > 0;
  const mayHaveDueWork = each.intake !== 'kafka' || isSetFunction(context, each);
  if (mayHaveDueWork && !isPolled && !(each.intake === 'wal' && isKeptUp)) {
    findings.push(
      problem(
        `scaledobject/${name} has no postgresql trigger: at lag 0, handlers are stopped and no retry or deadline wakes a pod`,
        `add one with: select coalesce(max(total), 0) from muster.due where function = '${each.fn}'`,
      ),
    );
  }
  if (each.intake === 'wal' && !isKeptUp) {
    findings.push(
      problem(
        `scaledobject/${name} may scale ${each.fn} to zero, but nothing wakes a pod when the source has changes`,
        edit('minReplicaCount: 1'),
      ),
    );
  }
  return findings.length > 0
    ? findings
    : [fine(`those of scaledobject/${name} watch what ${each.fn} reads`)];
}

/** Compares one Kafka trigger with the consumer of the group that it watches. */
function checkTrigger(
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
        `${by} starts at ${offset}, but the trigger on ${group} at ${policy}: the lag of partitions that were never read is wrong`,
        edit(`offsetResetPolicy: ${offset}`),
      ),
    );
  }
  if (trigger['scaleToZeroOnInvalidOffset'] === 'true' && offset === 'earliest') {
    findings.push(
      problem(
        `the trigger on ${group} does not wake a pod for a partition's first event`,
        `remove scaleToZeroOnInvalidOffset from scaledobject/${name}`,
      ),
    );
  }
  if (Number(trigger['activationLagThreshold'] ?? 0) > 0) {
    findings.push(
      problem(
        `the trigger on ${group} leaves single events waiting`,
        edit('activationLagThreshold: "0"'),
      ),
    );
  }
  if (isUnordered && trigger['allowIdleConsumers'] !== 'true') {
    findings.push(
      problem(
        `the trigger on ${group} limits the pods to the number of partitions`,
        edit('allowIdleConsumers: "true"'),
      ),
    );
  }
  if (trigger['version'] === undefined) {
    findings.push(
      problem(
        `the trigger on ${group} uses the protocol of Kafka 1.0, which Kafka 4 rejects`,
        edit('version: 3.6.0'),
      ),
    );
  }
  return findings;
}
