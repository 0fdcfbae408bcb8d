import { request, type RequestOptions } from 'node:https';
import { request as plainRequest } from 'node:http';
import type { KubeConfig } from '@kubernetes/client-node';
import type { ClusterObjects, Listed } from './objects.ts';

const TIMEOUT_MS = 10_000;

/** The cluster of the kubeconfig or the pod's service account. */
export interface Cluster {
  readonly server: string;
  /** Namespace of the current context; null if it has none. */
  readonly namespace: string | null;
  read(namespace: string): Promise<ClusterObjects>;
}

/** Reads the kubeconfig without connecting yet. */
export async function openCluster(): Promise<Cluster> {
  const config = await emptyConfig();
  config.loadFromDefault();
  const server = config.getCurrentCluster()?.server;
  if (server === undefined) {
    throw new Error('the kubeconfig has no current context: kubectl config use-context <name>');
  }
  const list = <T>(path: string) => listOf<T>(config, server, path);
  return {
    server,
    namespace: config.getContextObject(config.getCurrentContext())?.namespace ?? null,
    async read(namespace) {
      const at = (group: string, kind: string) => `${group}/namespaces/${namespace}/${kind}`;
      const paths: Record<keyof ClusterObjects, string> = {
        deployments: at('/apis/apps/v1', 'deployments'),
        services: at('/api/v1', 'services'),
        knativeServices: at('/apis/serving.knative.dev/v1', 'services'),
        kafkaSources: at('/apis/sources.knative.dev/v1', 'kafkasources'),
        kafkaSinks: at('/apis/eventing.knative.dev/v1alpha1', 'kafkasinks'),
        pingSources: at('/apis/sources.knative.dev/v1', 'pingsources'),
        brokers: at('/apis/eventing.knative.dev/v1', 'brokers'),
        triggers: at('/apis/eventing.knative.dev/v1', 'triggers'),
        scaledObjects: at('/apis/keda.sh/v1alpha1', 'scaledobjects'),
        autoscalers: at('/apis/autoscaling/v2', 'horizontalpodautoscalers'),
        events: at('/apis/events.k8s.io/v1', 'events'),
        connectors: '/apis/kafka.strimzi.io/v1/kafkaconnectors',
      };
      const lists = Object.entries(paths).map(async ([name, path]) => [name, await list(path)]);
      return Object.fromEntries(await Promise.all(lists)) as ClusterObjects;
    },
  };
}

/** Loads the client, which a project installs only if its doctor is to examine a cluster. */
async function emptyConfig(): Promise<KubeConfig> {
  try {
    const { KubeConfig } = await import('@kubernetes/client-node');
    return new KubeConfig();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const what = 'examining a cluster needs its client: npm install @kubernetes/client-node';
    throw new Error(what, { cause: error });
  }
}

async function listOf<T>(config: KubeConfig, server: string, path: string): Promise<Listed<T>> {
  const { status, text } = await get(config, server, path);
  if (status === 200) return (JSON.parse(text) as { items: T[] }).items;
  const kind = path.split('/').at(-1)!;
  if (status === 404) return { why: `this cluster does not have ${kind} (${path})` };
  if (status === 401 || status === 403) {
    return { why: `this user may not list ${kind}: kubectl auth can-i list ${kind}` };
  }
  return { why: `the API server answered ${status} for ${kind}: ${text.slice(0, 200)}` };
}

/**
 * Sends a GET request with the credentials of the kubeconfig. Avoids the client's classes: they cover every
 * kind there is, in twenty megabytes of source, none of which is needed.
 */
async function get(
  config: KubeConfig,
  server: string,
  path: string,
): Promise<{ status: number; text: string }> {
  const options: RequestOptions = { headers: { accept: 'application/json' }, timeout: TIMEOUT_MS };
  await config.applyToHTTPSOptions(options);
  const url = new URL(`${server.replace(/\/$/, '')}${path}`);
  const send = url.protocol === 'https:' ? request : plainRequest;
  return new Promise((resolve, reject) => {
    const sent = send(url, options, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    sent.on('error', reject);
    sent.end();
  });
}
