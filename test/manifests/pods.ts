import type { KubernetesObject } from './render.ts';

/** An object that starts pods, and its container. */
export interface Workload {
  /** Kind and name. */
  readonly of: string;
  readonly object: KubernetesObject;
  readonly labels: Readonly<Record<string, string>>;
  readonly pod: any;
  readonly container: any;
}

/** Returns all objects that start pods, each with a single container. */
export function workloadsIn(objects: readonly KubernetesObject[]): Workload[] {
  return objects
    .filter(({ kind, apiVersion }) =>
      kind === 'Service' ? apiVersion.startsWith('serving.') : KINDS.includes(kind),
    )
    .map((object) => {
      const { metadata, spec: pod } = object['spec'].template;
      const labels = metadata.labels as Record<string, string>;
      const of = `${object.kind} ${object.metadata.name}`;
      return { of, object, labels, pod, container: pod.containers[0] };
    });
}

const KINDS = ['Deployment', 'StatefulSet', 'Job'];

/** Returns those that run this project's image. */
export function ofMuster(workloads: readonly Workload[]): Workload[] {
  return workloads.filter(({ container }) => container.name === 'muster');
}

/** Returns the environment of a container, including its ConfigMaps; `value` stands for Secrets. */
export function environmentOf(
  { container }: Workload,
  objects: readonly KubernetesObject[],
  secret = 'value',
): Record<string, string> {
  const shared = (container.envFrom ?? []).map(
    ({ configMapRef }: any) =>
      objects.find(
        (each) => each.kind === 'ConfigMap' && each.metadata.name === configMapRef.name,
      )!['data'],
  );
  const own = (container.env ?? []).map((each: any) => [each.name, each.value ?? secret]);
  return Object.assign({}, ...shared, Object.fromEntries(own));
}

/** Whether these labels match a selector. */
export function selects(selector: any, labels: Readonly<Record<string, string>>): boolean {
  const equal = Object.entries(selector.matchLabels ?? {});
  return (
    equal.every(([name, value]) => labels[name] === value) &&
    (selector.matchExpressions ?? []).every(({ key, operator, values }: any) =>
      operator === 'Exists' ? key in labels : operator === 'In' && values.includes(labels[key]),
    )
  );
}
