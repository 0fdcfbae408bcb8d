/** An API server of Kubernetes with the definitions of Knative and KEDA, and no nodes: enough for a dry run. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from '../../../src/local/port.ts';
import { until } from '../../support/until.ts';

const PROGRAM = fileURLToPath(
  new URL('../../../.muster/kubernetes/kube-apiserver', import.meta.url),
);
const DEFINITIONS = new URL('../../fixtures/kubernetes/definitions/', import.meta.url);
const START_MS = 60_000;

/** Why no API server can be started here; null if it can. */
export function obstacle(): string | null {
  if (!existsSync(PROGRAM)) {
    return 'no API server is built: test/manifests/api-server/build.sh kube-apiserver .muster/kubernetes/kube-apiserver';
  }
  for (const [program, flag] of [
    ['etcd', '--version'],
    ['kubectl', 'options'],
  ] as const) {
    if (spawnSync(program, [flag]).error !== undefined) return `${program} is not installed`;
  }
  return null;
}

const address = (port: number) => `http://127.0.0.1:${port}`;

export class ApiServer implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), 'muster-api-server-'));
  readonly #children: ChildProcess[] = [];

  /** Starts etcd and the API server on free ports of this machine, and defines the kinds of Knative and KEDA. */
  static async start(): Promise<ApiServer> {
    const server = new ApiServer();
    try {
      await server.#start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Variables with which kubectl talks to this server. */
  get env(): { HOME: string; KUBECONFIG: string } {
    return { HOME: this.#folder, KUBECONFIG: this.#path('config') };
  }

  /** Runs kubectl; returns what it prints. */
  kubectl(args: readonly string[], input = ''): { stdout: string; stderr: string } {
    const env = { PATH: process.env['PATH'], ...this.env };
    const { stdout, stderr } = spawnSync('kubectl', args, { input, env, encoding: 'utf8' });
    return { stdout, stderr };
  }

  /** Defines kinds whose objects may have any content. */
  defineUnchecked(group: string, version: string, kinds: readonly string[]): void {
    const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    const definitions = kinds.map((kind) => {
      const [singular, plural] = [kind.toLowerCase(), `${kind.toLowerCase()}s`];
      const versions = [
        { name: version, served: true, storage: true, schema: { openAPIV3Schema: schema } },
      ];
      return {
        apiVersion: 'apiextensions.k8s.io/v1',
        kind: 'CustomResourceDefinition',
        metadata: { name: `${plural}.${group}` },
        spec: { group, versions, scope: 'Namespaced', names: { kind, singular, plural } },
      };
    });
    const list = { apiVersion: 'v1', kind: 'List', items: definitions };
    this.#established(this.kubectl(['apply', '--filename=-'], JSON.stringify(list)).stderr);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children.toReversed()) {
      if (child.exitCode !== null) continue;
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await exited;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #start(): Promise<void> {
    const [clients, peers, secure] = [await freePort(), await freePort(), await freePort()];
    this.#run('etcd', [
      `--data-dir=${this.#path('etcd')}`,
      `--listen-client-urls=${address(clients)}`,
      `--advertise-client-urls=${address(clients)}`,
      `--listen-peer-urls=${address(peers)}`,
      `--initial-advertise-peer-urls=${address(peers)}`,
      `--initial-cluster=default=${address(peers)}`,
      '--unsafe-no-fsync',
    ]);
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const format = { format: 'pem' } as const;
    this.#write('account.key', privateKey.export({ type: 'pkcs1', ...format }));
    this.#write('account.pub', publicKey.export({ type: 'spki', ...format }));
    this.#write('tokens.csv', 'admin,admin,admin,system:masters\n');
    const user = { name: 'admin', user: { token: 'admin' } };
    const cluster = { server: `https://127.0.0.1:${secure}`, 'insecure-skip-tls-verify': true };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [user],
      contexts: [{ name: 'test', context: { cluster: 'test', user: user.name } }],
      'current-context': 'test',
    };
    this.#write('config', JSON.stringify(config));
    this.#run(PROGRAM, [
      `--etcd-servers=${address(clients)}`,
      '--bind-address=127.0.0.1',
      `--secure-port=${secure}`,
      // an address that pods would use: it may not be a loopback address
      '--advertise-address=192.0.2.1',
      '--endpoint-reconciler-type=none',
      `--cert-dir=${this.#path('certificates')}`,
      `--token-auth-file=${this.#path('tokens.csv')}`,
      '--authorization-mode=RBAC',
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${this.#path('account.pub')}`,
      `--service-account-signing-key-file=${this.#path('account.key')}`,
      '--service-cluster-ip-range=203.0.113.0/24',
    ]);
    await until(() => this.kubectl(['get', '--raw', '/readyz']).stdout === 'ok', START_MS);
    this.#define();
  }

  #define(): void {
    const texts = readdirSync(DEFINITIONS)
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => readFileSync(new URL(file, DEFINITIONS), 'utf8'));
    const applied = this.kubectl(['apply', '--server-side', '--filename=-'], texts.join('\n---\n'));
    // The webhook that converts between the versions of KafkaSource does not run here; their fields are the same.
    const patch = [{ op: 'replace', path: '/spec/conversion', value: { strategy: 'None' } }];
    const name = 'kafkasources.sources.knative.dev';
    const patched = this.kubectl([
      'patch',
      'crd',
      name,
      '--type=json',
      '--patch',
      JSON.stringify(patch),
    ]);
    this.#established(applied.stderr + patched.stderr);
  }

  /** Waits until all definitions count; throws if there were errors. */
  #established(errors: string): void {
    const wait = ['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s'];
    const { stderr } = this.kubectl(wait);
    if (errors + stderr !== '') throw new Error(errors + stderr);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }

  #write(name: string, content: string | Buffer): void {
    writeFileSync(this.#path(name), content);
  }

  #run(program: string, args: readonly string[]): void {
    this.#children.push(spawn(program, args, { stdio: 'ignore' }));
  }
}
