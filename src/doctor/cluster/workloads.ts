import type { Specification } from '../../definitions/specification.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import {
  type ClusterObjects,
  conditionOf,
  type KafkaSource,
  known,
  listed,
  reasonOf,
  type Reference,
  type Service,
  type Trigger,
  type Workload,
} from './objects.ts';

/** Input of the checks of a cluster: only objects that were read beforehand. */
export interface ClusterContext {
  readonly namespace: string;
  readonly objects: ClusterObjects;
  /** Names of the functions. */
  readonly functions: readonly string[];
  readonly specifications: readonly Specification[];
}

/** A process that can't stop gracefully exits this long after DRAIN_SECONDS. */
const GIVES_UP_SECONDS = 10;
const DEFAULT_DRAIN_SECONDS = 25;

/** A deployed function; its objects are found by the references between them. */
export interface Deployed {
  readonly fn: string;
  readonly workload: Workload;
  readonly isKnative: boolean;
  /** Only events by HTTP need a Service and a KafkaSource. */
  readonly intake: 'http' | 'kafka' | 'wal';
  readonly services: readonly Service[];
  readonly sources: readonly KafkaSource[];
  /** Those whose subscriber it is. */
  readonly triggers: readonly Trigger[];
}

export function deployed({ objects, functions }: ClusterContext): Deployed[] {
  const workloads = [
    ...known(objects.deployments).map((workload) => ({ workload, isKnative: false })),
    ...known(objects.knativeServices).map((workload) => ({ workload, isKnative: true })),
  ];
  return workloads.flatMap(({ workload, isKnative }) =>
    functionsOf(workload, functions).map((fn) => {
      const services = isKnative
        ? []
        : known(objects.services).filter((each) => selects(each, workload));
      const sinks = isKnative
        ? [workload.metadata.name]
        : services.map((each) => each.metadata.name);
      const isMine = (to: Reference) => pointsTo(to, sinks, isKnative);
      return {
        fn,
        workload,
        isKnative,
        intake: (envOf(workload, 'INTAKE') ?? 'http') as Deployed['intake'],
        services,
        sources: known(objects.kafkaSources).filter(({ spec }) => isMine(spec.sink)),
        triggers: known(objects.triggers).filter(({ spec }) => isMine(spec.subscriber)),
      };
    }),
  );
}

/** Whether a sink or subscriber is one of these Services, by reference or by its URL in the cluster. */
function pointsTo({ ref, uri }: Reference, names: readonly string[], isKnative: boolean): boolean {
  if (ref?.name !== undefined) {
    const isOfKnative = ref.apiVersion?.startsWith('serving.knative.dev/') ?? false;
    return names.includes(ref.name) && isOfKnative === isKnative;
  }
  const [name] = URL.parse(uri ?? '')?.hostname.split('.') ?? [];
  return name !== undefined && names.includes(name);
}

/** Returns the functions that a workload serves: those of FUNCTIONS, or all if it is not set. */
function functionsOf(workload: Workload, functions: readonly string[]): readonly string[] {
  const named = envOf(workload, 'FUNCTIONS');
  if (named !== undefined) {
    const list = named.split(',').map((each) => each.trim());
    return functions.filter((fn) => list.includes(fn));
  }
  const isMuster = workload.metadata.labels?.['app.kubernetes.io/name'] === 'muster';
  const serves = workload.spec.template.spec.containers.some(
    ({ args }) => args === undefined || args.includes('serve'),
  );
  return isMuster && serves ? functions : [];
}

export function envOf(workload: Workload, name: string): string | undefined {
  const env = workload.spec.template.spec.containers.flatMap((each) => each.env ?? []);
  return env.find((each) => each.name === name)?.value;
}

function selects({ spec: { selector } }: Service, workload: Workload): boolean {
  const labels = workload.spec.template.metadata?.labels ?? {};
  const pairs = Object.entries(selector ?? {});
  return pairs.length > 0 && pairs.every(([name, value]) => labels[name] === value);
}

/** Returns `kubectl` with the namespace. */
export function kubectl({ namespace }: Pick<ClusterContext, 'namespace'>): string {
  return `kubectl -n ${namespace}`;
}

export const workloads: Check<ClusterContext> = {
  id: 'cluster.workloads',
  title: 'workloads',
  run(context) {
    listed(context.objects.deployments);
    const all = deployed(context);
    return context.functions.flatMap((fn) => {
      const mine = all.filter((each) => each.fn === fn);
      if (mine.length === 0) {
        return [
          problem(
            `nothing in namespace ${context.namespace} serves ${fn}`,
            'kubectl apply -k knative/overlays/production; or: muster doctor --namespace <its namespace>',
          ),
        ];
      }
      return mine.flatMap((each) => checkWorkload(context, each));
    });
  },
};

function checkWorkload(context: ClusterContext, { fn, workload, isKnative }: Deployed): Finding[] {
  const { name } = workload.metadata;
  const kind = isKnative ? 'ksvc' : 'deployment';
  const available = conditionOf(workload, isKnative ? 'Ready' : 'Available');
  if (available?.status !== 'True') {
    return [
      problem(
        `${fn}: ${kind}/${name} is not available: ${reasonOf(available)}`,
        `${kubectl(context)} describe ${kind} ${name}`,
      ),
    ];
  }
  const pod = workload.spec.template.spec;
  const sleep = pod.containers[0]?.lifecycle?.preStop?.sleep?.seconds ?? 0;
  const drain = Number(envOf(workload, 'DRAIN_SECONDS') ?? DEFAULT_DRAIN_SECONDS);
  const grace = pod.terminationGracePeriodSeconds ?? 30;
  const needed = sleep + drain + GIVES_UP_SECONDS;
  if (!isKnative && grace < needed) {
    return [
      problem(
        `${fn}: a pod is killed ${grace} s after it is asked to stop, but may need ${needed} s (preStop ${sleep}, DRAIN_SECONDS ${drain}, plus ${GIVES_UP_SECONDS})`,
        `${kubectl(context)} patch deployment ${name} -p '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":${needed + 15}}}}}'`,
      ),
    ];
  }
  return [fine(`${fn}: ${kind}/${name}`)];
}

export const services: Check<ClusterContext> = {
  id: 'cluster.services',
  title: 'services',
  run(context) {
    listed(context.objects.services);
    const all = deployed(context).filter(
      ({ intake, isKnative }) => intake === 'http' && !isKnative,
    );
    if (all.length === 0) return [unchecked('no function is behind a plain Service here')];
    return all.flatMap((each) => checkServices(context, each));
  },
};

/** A KafkaSource whose sink is a Service always posts to port 80 of it. */
function checkServices(context: ClusterContext, each: Deployed): Finding[] {
  const { fn, workload } = each;
  const containers = workload.spec.template.spec.containers;
  const listens = Number(envOf(workload, 'PORT') ?? 8080);
  if (each.services.length === 0) {
    return [
      problem(
        `no Service selects the pods of ${fn}`,
        `${kubectl(context)} expose deployment ${workload.metadata.name} --port 80 --target-port ${listens}`,
      ),
    ];
  }
  return each.services.map((service) => {
    const { name } = service.metadata;
    const remedy = `${kubectl(context)} patch service ${name} -p '{"spec":{"ports":[{"port":80,"targetPort":${listens}}]}}'`;
    const port = service.spec.ports?.find((it) => it.port === 80);
    if (port === undefined) {
      return problem(
        `service/${name} of ${fn} has no port 80, to which a KafkaSource posts`,
        remedy,
      );
    }
    const target = port.targetPort ?? port.port;
    const to =
      typeof target === 'number'
        ? target
        : containers.flatMap((it) => it.ports ?? []).find((it) => it.name === target)
            ?.containerPort;
    return to === listens
      ? fine(`${fn}: service/${name}, 80 → ${listens}`)
      : problem(
          `service/${name} targets port ${to ?? `'${target}', which no container has`}, but ${fn} listens on ${listens}`,
          remedy,
        );
  });
}
