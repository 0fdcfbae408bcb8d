/** The kustomization of the generated manifests, with what has to be known before they are applied. */

export interface KustomizationOptions {
  readonly namespace: string;
  /** Image with the functions. */
  readonly image: string;
  /** Kafka bootstrap servers, each as `host:port`. */
  readonly brokers: readonly string[];
  /** How events arrive: a KafkaSource posts them, or the pods read the topics, or the source's log, themselves. */
  readonly intake: 'http' | 'kafka' | 'wal';
}

const NAME_REFERENCES = 'shared/name-references.yaml';

/** Kustomize knows the ConfigMap's name in the environment of Kubernetes' own workloads only. */
export const NAME_REFERENCES_OF_KNATIVE = `# Where a Knative Service names the ConfigMap, whose name ends in a hash of its content: a change of the ConfigMap makes
# a new revision.
nameReference:
  - kind: ConfigMap
    fieldSpecs:
      - group: serving.knative.dev
        kind: Service
        path: spec/template/spec/containers/envFrom/configMapRef/name
`;

/** Returns the kustomization of these files. */
export function kustomization(
  files: readonly string[],
  { namespace, image, brokers, intake }: KustomizationOptions,
): string {
  const [, name, tag, digest] = /^(.*?)(?::([\w.-]+))?(?:@(sha256:\w+))?$/.exec(image)!;
  const tagLine = tag === undefined ? '' : `    newTag: '${tag}'\n`;
  const resources = files.filter((file) => file !== NAME_REFERENCES);
  const configurations = files.includes(NAME_REFERENCES)
    ? `configurations:\n  - ${NAME_REFERENCES}\n`
    : '';
  const version = digest === undefined ? tagLine : `    digest: ${digest}\n`;
  return `${introduction(files, intake)}apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: ${namespace}
resources:
${resources.map((file) => `  - ${file}\n`).join('')}${configurations}images:
  - name: muster
    newName: ${name}
${version}configMapGenerator:
  # Environment variables of every process. The name ends in a hash of the content, so that a change rolls the pods.
  - name: muster
    literals:
      - KAFKA_BROKERS=${brokers.join(',')}
      - LOG_LEVEL=info
`;
}

/** What to know before the files are applied, as a comment. */
function introduction(files: readonly string[], intake: KustomizationOptions['intake']): string {
  const has = (name: string) => files.some((file) => file.endsWith(`/${name}`));
  const users = ['migrate', 'serve', ...(has('database-authentication.yaml') ? ['keda'] : [])];
  const secrets = users.map((user) => `muster-database-${user}`);
  const lines = [
    'Apply: kubectl apply -k .',
    'Changes belong in a kustomization of your own with this folder as a resource, because `muster manifests` writes',
    'these files again.',
    'To be created elsewhere:',
    `- the Secrets ${secrets.slice(0, -1).join(', ')} and ${secrets.at(-1)}, each with a key \`url\`,`,
    '  whose role has only the privileges for that purpose',
    ...(intake === 'wal'
      ? [
          '- the Secret muster-source, with a key `url`: the database whose log is read, with a login that may replicate',
        ]
      : []),
    ...(has('dead-letters.yaml')
      ? ['- for each function a topic <function>-dead, for dead letters']
      : []),
    '- a sink for the events of handlers, without which they wait: a SinkBinding sets K_SINK, or SINK_TOPIC names a topic',
  ];
  return lines.map((line) => `# ${line}\n`).join('');
}
