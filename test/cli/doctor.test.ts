import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { toText } from '../../src/doctor/report.ts';
import { grantRoles } from '../../src/state/schema/roles.ts';
import { durable } from '../support/durable.ts';
import { workerOn } from '../support/worker.ts';
import { test } from '../support/test.ts';
import { muster } from './command.ts';

const ENV = { FUNCTIONS: 'recordings' };

durable('a healthy state database is fine: exit code 0, one line per check', async ({ db }) => {
  await workerOn(db, [recordings]);
  await grantRoles(db.url, ['recordings']);
  const { code, stdout, stderr } = await muster({ ...ENV, DATABASE_URL: db.url }, [
    'doctor',
    '--no-cluster',
  ]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const { host, pathname } = new URL(db.url);
  expect(stdout.replaceAll(/\b\d+(\.\d+)*\b/g, 'N')).toBe(
    `Functions
  ✓ definition: recordings

State database ${host}${pathname}
  ✓ reachable: PostgreSQL 1, as postgres, in 1 ms
  ✓ version: PostgreSQL 1, a primary
  ✓ migrations: 1 applied
  ✓ roles: muster_intake, muster_run, muster_read, muster_keda
  ✓ login: postgres, a superuser: more than any process needs
  ✓ session: 1 settings in effect, no pooler in between
  ✓ commits: synchronous_commit on, fsync on
  ✓ standbys: none
  ✓ connections: 1 allowed, 1 of them available to Muster: enough for 1 pods with 1 each
  ✓ clock: 1 s from this machine's
  ✓ updates in place: too few updates to tell
  ✓ dead rows: no table has more dead than live rows
  ✓ empty pages: none to speak of
  ✓ snapshots: none is older than 1 min
  ✓ write-ahead log: worth a try: wal_compression = lz4 halves the images of pages that follow a checkpoint; max_wal_size = 4GB makes checkpoints rarer under load (it is 1 MB)
  ✓ definitions: recordings: generation 1
  ✓ orphaned functions: none
  ✓ sources: the rows of each part come from one connector
  ✓ ignored events: none
  ✓ paused functions: none
  ✓ parked events: none
  ✓ failed runs: none
  ✓ outgoing events: none
  ✓ due work: none; 1 worker running

Source
  – reachable: not checked: no source given: use --source or SOURCE_URL

Kafka
  – reachable: not checked: no broker given: use --brokers or KAFKA_BROKERS

Cluster
  – reachable: not checked: no cluster requested: use --cluster

20 fine, 0 problems, 3 not checked
`.replaceAll(/\b\d+(\.\d+)*\b/g, 'N'),
  );
});

test('a problem comes with a remedy: exit code 1, no password', async () => {
  const { code, stdout, stderr } = await muster(
    { ...ENV, DATABASE_URL: 'postgres://muster:canary@127.0.0.1:1/state' },
    ['doctor', '--no-cluster', '--brokers', '127.0.0.1:1'],
  );
  expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
  expect(stdout).not.toContain('canary');
  expect(stdout).toContain(`
State database 127.0.0.1:1/state
  ✗ reachable: nothing is listening: connect ECONNREFUSED 127.0.0.1:1
      pg_isready -h 127.0.0.1 -p 1
  – version, migrations, roles, login, session, commits, standbys, connections, clock, updates in place, dead rows, empty pages, snapshots, write-ahead log, definitions, orphaned functions, sources, ignored events, paused functions, parked events, failed runs, outgoing events, due work: not checked: not reachable
`);
  expect(stdout).toContain(`
Kafka 127.0.0.1:1
  ✗ reachable: 127.0.0.1:1 does not answer: connect ECONNREFUSED 127.0.0.1:1
      nc -vz 127.0.0.1 1   # is it running? A NetworkPolicy may block the connection
  – topics, retention, key sizes, consumer groups, dead letters: not checked: not reachable
`);
});

durable(
  'a login with muster_read can check everything except standbys and snapshots',
  async ({ db }) => {
    await workerOn(db, [recordings]);
    await grantRoles(db.url, ['recordings']);
    const login = `reader_${randomUUID().slice(0, 8)}`;
    await db.query(`create role ${login} login password 'secret' in role muster_read`);
    const url = Object.assign(new URL(db.url), { username: login, password: 'secret' });
    const { code, stdout } = await muster({ ...ENV, DATABASE_URL: url.href }, [
      'doctor',
      '--no-cluster',
    ]);
    expect(code).toBe(0);
    expect(stdout).toContain(
      `  ✓ login: ${login} may only read: enough for people and the doctor, not for serve\n`,
    );
    expect(stdout).toContain(
      `  – standbys: not checked: this login can't see standbys: grant pg_monitor to ${login}\n`,
    );
    expect(stdout).toContain('23 fine, 0 problems, 5 not checked\n');
  },
);

test('every finding has the same fields as JSON', async ({ db }) => {
  const args = ['doctor', '--no-cluster', '--json'];
  const { code, stdout } = await muster({ ...ENV, DATABASE_URL: db.url, SOURCE_URL: db.url }, args);
  expect(code).toBe(1);
  const { findings, ...counts } = JSON.parse(stdout) as { findings: Record<string, unknown>[] };
  const of = (state: string) => findings.filter((each) => each['state'] === state).length;
  expect(counts).toEqual({
    status: 'problem',
    fine: of('fine'),
    problems: of('problem'),
    unchecked: of('unchecked'),
  });
  for (const finding of findings) {
    expect(Object.keys(finding)).toEqual([
      'group',
      'at',
      'check',
      'title',
      'state',
      'message',
      'remedy',
    ]);
  }
  expect(findings).toContainEqual({
    group: 'source',
    at: new URL(db.url).host + new URL(db.url).pathname,
    check: 'source.publication',
    title: 'publication',
    state: 'problem',
    message: 'there is no publication muster',
    remedy: 'create publication muster for table datastore.signal;',
  });
});

test('an invalid configuration is misuse, a missing DATABASE_URL is not', async () => {
  const wrong = await muster({ PORT: 'eighty' }, ['doctor', '--no-cluster']);
  expect(wrong).toEqual({
    code: 2,
    stdout: '',
    stderr:
      "muster: invalid configuration:\n  PORT must be a whole number from 0 to 65535, not 'eighty'\n",
  });
  const unnamed = await muster(ENV, ['doctor', '--no-cluster']);
  expect(unnamed.code).toBe(0);
  expect(unnamed.stdout).toContain('  – reachable: not checked: DATABASE_URL is not set\n');
});

test('marks are coloured only for a terminal', () => {
  const finding = {
    check: 'x.y',
    title: 'y',
    state: 'problem',
    message: 'no',
    remedy: 'one\ntwo',
  } as const;
  const groups = [{ group: 'kafka', at: 'here', results: [finding] }] as const;
  expect(toText(groups, false)).toBe(
    'Kafka here\n  ✗ y: no\n      one\n      two\n\n0 fine, 1 problem, 0 not checked\n',
  );
  expect(toText(groups, true)).toContain('\u001B[31m✗\u001B[39m y: no');
});

test('reads the cluster of the kubeconfig; does not check kinds that may not be listed', async () => {
  const objects = JSON.parse(
    readFileSync(new URL('../doctor/objects.json', import.meta.url), 'utf8'),
  ) as Record<string, unknown[]>;
  const namespaced: Record<string, string> = {
    '/apis/apps/v1/namespaces/shop/deployments': 'deployments',
    '/api/v1/namespaces/shop/services': 'services',
    '/apis/sources.knative.dev/v1/namespaces/shop/kafkasources': 'kafkaSources',
    '/apis/eventing.knative.dev/v1alpha1/namespaces/shop/kafkasinks': 'kafkaSinks',
    '/apis/keda.sh/v1alpha1/namespaces/shop/scaledobjects': 'scaledObjects',
  };
  const server = createServer(({ url = '', headers }, response) => {
    const list = objects[namespaced[url] ?? ''];
    if (headers.authorization !== 'Bearer canary') response.writeHead(401).end();
    else if (url.startsWith('/apis/kafka.strimzi.io/')) response.writeHead(403).end();
    else if (list === undefined) response.writeHead(404).end();
    else response.end(JSON.stringify({ items: list }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const folder = mkdtempSync(join(tmpdir(), 'muster-doctor-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true });
    server.close();
  });
  const KUBECONFIG = join(folder, 'kubeconfig');
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(KUBECONFIG, kubeconfig(address));

  const { code, stdout, stderr } = await muster({ ...ENV, KUBECONFIG }, ['doctor']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toContain(`
Cluster ${address}, namespace shop
  ✓ reachable: the API server answers
  ✓ workloads: recordings: deployment/recordings
  ✓ services: recordings: service/recordings, 80 → 8080
  ✓ sources: recordings: kafkasource/recordings is ready, postgres.datastore.signal
  ✓ delivery: kafkasource/recordings: 600 retries, linear; then recordings-dead
  ✓ scaling: scaledobject/recordings is ready, idle, 0 to 8 pods
  ✓ triggers: those of scaledobject/recordings watch what recordings reads
  – connectors: not checked: this user may not list kafkaconnectors: kubectl auth can-i list kafkaconnectors
`);
  expect(stdout).not.toContain('canary');

  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  const requested = await muster({ ...ENV, KUBECONFIG }, ['doctor', '--cluster']);
  expect(requested.code).toBe(1);
  expect(requested.stdout).toMatch(/✗ reachable: connect ECONNREFUSED/);
  const detected = await muster({ ...ENV, KUBECONFIG }, ['doctor']);
  expect(detected.code).toBe(0);
  expect(detected.stdout).toMatch(/– reachable: not checked: connect ECONNREFUSED/);
});

function kubeconfig(server: string): string {
  return `
apiVersion: v1
kind: Config
current-context: here
clusters: [{ name: here, cluster: { server: '${server}', insecure-skip-tls-verify: true } }]
users: [{ name: me, user: { token: canary } }]
contexts: [{ name: here, context: { cluster: here, user: me, namespace: shop } }]
`;
}
