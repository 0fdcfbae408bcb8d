import { execFileSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import { missingTools } from '../../dev/stack/tools.ts';

/** Settings about the cluster, besides kubectl's current context. */
export interface Settings {
  /** The address at which pods and KEDA reach this machine. */
  readonly host: string;
  /** How to load the image with this folder's functions into the nodes, or its reference if it is there. */
  readonly image: { readonly load: string } | { readonly reference: string };
}

const HELP = `The cluster tests need these environment variables:

  CLUSTER_HOST   address of this machine at which pods and KEDA reach the PostgreSQL and the Kafka that
                 the tests start here (kind, minikube: the gateway of Docker's network of that name)
  CLUSTER_LOAD   a command that loads an image archive into the nodes; the file is its last argument:
                   kind load image-archive
                   minikube image load
                   ctr --namespace k8s.io images import
  CLUSTER_IMAGE  instead of CLUSTER_LOAD: the image's name in a registry that nodes can pull from; to build it:
                   node test/cluster/image.ts archive.tar registry.example/muster-trial:1

The cluster is that of kubectl's current context. It needs KEDA and the CRDs of Knative's KafkaSource and
KafkaSink; if Knative's dispatcher is not installed, a stand-in sends its requests.`;

/** Reads the environment and checks the cluster; throws one error that lists every problem. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const problems: string[] = [];
  const host = env['CLUSTER_HOST']?.trim() ?? '';
  const load = env['CLUSTER_LOAD']?.trim() ?? '';
  const reference = env['CLUSTER_IMAGE']?.trim() ?? '';
  if (host === '') problems.push('CLUSTER_HOST is not set');
  else if (!addresses().includes(host)) {
    problems.push(
      `CLUSTER_HOST is '${host}', which is not one of this machine's addresses: ${addresses().join(', ')}`,
    );
  }
  if ((load === '') === (reference === '')) {
    problems.push('set either CLUSTER_LOAD or CLUSTER_IMAGE');
  }
  const missing = missingTools();
  if (missing !== null) problems.push(missing);
  problems.push(...missingInCluster());
  if (problems.length > 0) throw new Error(`${problems.join('\n')}\n\n${HELP}`);
  return { host, image: load === '' ? { reference } : { load } };
}

function addresses(): string[] {
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return all.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
}

/** Names of CRDs, and whose they are. */
const DEFINITIONS: readonly (readonly [name: string, whose: string])[] = [
  ['scaledobjects.keda.sh', 'KEDA'],
  ['kafkasources.sources.knative.dev', "Knative's KafkaSource"],
  ['kafkasinks.eventing.knative.dev', "Knative's KafkaSink"],
];

/** Returns why the objects of these kinds can't be applied to the cluster of kubectl's current context. */
function missingInCluster(): string[] {
  try {
    execFileSync('kubectl', ['version', '--output=json'], { stdio: 'pipe' });
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: Buffer };
    if (code === 'ENOENT') return ['kubectl is not installed'];
    return [`kubectl can't reach the cluster: ${stderr?.toString().trim()}`];
  }
  const there = execFileSync('kubectl', ['get', 'crd', '--output=name'], { encoding: 'utf8' });
  return DEFINITIONS.filter(([name]) => !there.includes(`/${name}\n`)).map(
    ([name, whose]) => `the cluster lacks ${whose} (CRD ${name})`,
  );
}
