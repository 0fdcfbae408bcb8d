import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: any;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The kustomizations that users apply. */
const OVERLAYS = ['knative/overlays/quickstart', 'knative/overlays/production', 'knative/kn'];

/** Why the manifests can't be rendered; null if they can. kubectl contains Kustomize 5 since 1.27. */
export const problem = kubectlProblem();
if (problem !== null) {
  process.stderr.write(`skipping the tests that render manifests: ${problem}\n`);
}

function kubectlProblem(): string | null {
  const { stdout } = spawnSync('kubectl', ['version', '--client', '--output=json'], {
    encoding: 'utf8',
  });
  if (!stdout) return 'kubectl is not installed';
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { minor: string } };
  return Number.parseInt(clientVersion.minor, 10) >= 27 ? null : 'kubectl 1.27 or newer is needed';
}

/** Returns the objects of a kustomization in the repository. */
export function render(kustomization: string, root = ROOT): KubernetesObject[] {
  const text = execFileSync('kubectl', ['kustomize', join(root, kustomization)], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return parseAllDocuments(text).map((each) => each.toJS() as KubernetesObject);
}

/** Returns the objects with a component enabled, as a user does by uncommenting it. */
function renderWith(component: string, kustomization: string): KubernetesObject[] {
  const copy = mkdtempSync(join(tmpdir(), 'muster-manifests-'));
  for (const folder of ['knative', 'keda']) {
    cpSync(join(ROOT, folder), join(copy, folder), { recursive: true });
  }
  const file = join(copy, kustomization, 'kustomization.yaml');
  const text = readFileSync(file, 'utf8');
  const line = `  # - ../../components/${component}\n`;
  if (!text.includes(line)) throw new Error(`${kustomization} does not offer ${component}`);
  writeFileSync(file, text.replace(line, line.replace('# ', '')));
  try {
    return render(kustomization, copy);
  } finally {
    rmSync(copy, { recursive: true });
  }
}

/** Each overlay as it is, and with redelivery if it offers that. */
export const VARIANTS = [
  ...OVERLAYS,
  ...OVERLAYS.filter((of) => of.includes('/overlays/')).map((of) => `${of} with redelivery`),
];

export function renderVariant(variant: string): KubernetesObject[] {
  const [overlay, component] = variant.split(' with ') as [string, string?];
  return component === undefined ? render(overlay) : renderWith(component, overlay);
}

/** Returns the objects of a kind, by name. */
export function byName(
  objects: readonly KubernetesObject[],
  kind: string,
): Map<string, KubernetesObject> {
  const found = objects.filter((each) => each.kind === kind);
  return new Map(found.map((each) => [each.metadata.name, each]));
}
