import { kubectl, type KubernetesObject, watch } from './kubectl.ts';
import { eventually, say } from './say.ts';

interface Pod extends KubernetesObject {
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
    readonly containerStatuses?: readonly {
      readonly restartCount: number;
      readonly lastState?: {
        readonly terminated?: { readonly exitCode: number; readonly reason: string };
      };
    }[];
  };
}

interface Deployment extends KubernetesObject {
  readonly spec: { readonly replicas: number };
}

/** Watches the pods of a Deployment and logs each change. */
export class Pods {
  /** `spec.replicas`: what KEDA and its HPA last set. */
  replicas = -1;
  /** The maximum number of pods ready at the same time since {@link forget}. */
  peak = 0;
  /** The minimum number of pods ready at the same time since {@link forget}. */
  least = 0;
  /** Container restarts in all pods so far. */
  restarts = 0;
  readonly #namespace: string;
  readonly #name: string;
  readonly #pods = new Map<string, Pod>();
  readonly #ending = new AbortController();
  #logged = '';
  #logging: NodeJS.Timeout | undefined;

  private constructor(namespace: string, name: string) {
    this.#namespace = namespace;
    this.#name = name;
  }

  static watch(namespace: string, name: string, selector: string): Pods {
    const pods = new Pods(namespace, name);
    const { signal } = pods.#ending;
    const where = `--namespace=${namespace}`;
    void watch<Pod>(['pods', where, `--selector=${selector}`], (it) => pods.#note(it), signal);
    const scale = ({ object }: { object: Deployment }) => {
      pods.replicas = object.spec.replicas;
      pods.#log();
    };
    void watch<Deployment>(['deployments', name, where], scale, signal);
    return pods;
  }

  /** Names of the existing pods, including those that are terminating. */
  get present(): string[] {
    return [...this.#pods.keys()];
  }

  /** Names of the pods that receive events. */
  get ready(): string[] {
    return [...this.#pods.values()].filter(isReady).map((pod) => pod.metadata.name);
  }

  forget(): void {
    this.peak = this.ready.length;
    this.least = this.peak;
  }

  stop(): void {
    clearTimeout(this.#logging);
    this.#ending.abort();
  }

  /** Waits until KEDA has scaled to zero and the last pod has stopped. */
  async none(seconds = 120): Promise<void> {
    const isNone = () => this.replicas === 0 && this.present.length === 0;
    await eventually('no pod is left', isNone, seconds, () => [this.replicas, this.present]);
  }

  /** Waits until at least `count` pods are ready. */
  async atLeast(count: number, seconds = 120): Promise<void> {
    const isThere = () => this.ready.length >= count;
    await eventually(`${count} ready`, isThere, seconds, () => [this.replicas, this.present]);
  }

  /** Deletes all ready pods at once with `kubectl delete pod`; returns their names. */
  async terminate(...flags: string[]): Promise<string[]> {
    const names = this.ready;
    await this.delete(names, ...flags);
    return names;
  }

  async delete(names: readonly string[], ...flags: string[]): Promise<void> {
    const where = `--namespace=${this.#namespace}`;
    await kubectl(['delete', 'pod', where, '--wait=false', ...flags, ...names]);
  }

  /** The number of events that each ready pod has ingested so far, by its own count. */
  events(): Promise<[pod: string, events: number][]> {
    const read = `fetch('http://127.0.0.1:8080/metrics').then((r) => r.text()).then((t) => process.stdout.write(t))`;
    return Promise.all(
      this.ready.map(async (pod): Promise<[string, number]> => {
        const where = `--namespace=${this.#namespace}`;
        const text = await kubectl(['exec', pod, where, '--', 'node', '--eval', read]);
        const counts = [...text.matchAll(/^muster_events_total\{.*\} (\d+)$/gm)];
        return [pod, counts.reduce((sum, [, count]) => sum + Number(count), 0)];
      }),
    );
  }

  /** Waits until the newest version of the Deployment is rolled out, or is scaled to zero. */
  async rolledOut(seconds = 180): Promise<void> {
    const timeout = `--timeout=${seconds}s`;
    const where = `--namespace=${this.#namespace}`;
    await kubectl(['rollout', 'status', `deployment/${this.#name}`, where, timeout]);
  }

  #note({ type, object }: { type: string; object: Pod }): void {
    const { name } = object.metadata;
    const restarts = restartsOf(object) - restartsOf(this.#pods.get(name));
    if (restarts > 0) {
      const { exitCode, reason } =
        object.status.containerStatuses?.[0]?.lastState?.terminated ?? {};
      say(`${name} has been restarted after ${reason} (exit code ${exitCode})`);
      this.restarts += restarts;
    }
    if (type === 'DELETED') this.#pods.delete(name);
    else this.#pods.set(name, object);
    this.peak = Math.max(this.peak, this.ready.length);
    this.least = Math.min(this.least, this.ready.length);
    this.#log();
  }

  /** Logs the state after each burst of changes. */
  #log(): void {
    clearTimeout(this.#logging);
    this.#logging = setTimeout(() => {
      const ending = [...this.#pods.values()].filter(isEnding).length;
      const line = `replicas ${this.replicas}: ${this.ready.length} ready, ${ending} ending`;
      if (line !== this.#logged && this.replicas >= 0) say(line);
      this.#logged = line;
    }, 100);
  }
}

function isEnding(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

function isReady(pod: Pod): boolean {
  const ready = pod.status.conditions?.find(({ type }) => type === 'Ready');
  return ready?.status === 'True' && !isEnding(pod);
}

function restartsOf(pod: Pod | undefined): number {
  return (pod?.status.containerStatuses ?? []).reduce((sum, each) => sum + each.restartCount, 0);
}
