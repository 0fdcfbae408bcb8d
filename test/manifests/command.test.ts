/** What `muster manifests` does with files that exist, and which options it refuses. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FUNCTIONS, Project } from './project.ts';

/** The lines that it printed, without the files that stayed the same. */
const changesIn = (stdout: string) => stdout.split('\n').filter((line) => !/^same |^$/.test(line));
const filesIn = (project: Project) =>
  readdirSync(project.path('manifests'), { recursive: true, encoding: 'utf8' }).toSorted();

test('a second run with the same options changes nothing, and --check confirms it', async () => {
  using project = new Project();
  const first = await project.manifests();
  expect(first).toMatchObject({ code: 0, stderr: '' });
  expect(changesIn(first.stdout).length).toBeGreaterThan(15);
  expect(changesIn(first.stdout).filter((line) => !line.startsWith('created  '))).toEqual([]);
  const files = filesIn(project);

  for (const args of [[], ['--check']]) {
    const again = await project.manifests(...args);
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(changesIn(again.stdout)).toEqual([]);
  }
  expect(filesIn(project)).toEqual(files);
});

test('files that nobody has edited follow the options; --check prints the difference and writes nothing', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests('--image', 'shop/orders:1');
  const before = project.read('manifests/kustomization.yaml');

  const file = project.path('manifests/kustomization.yaml');
  const checked = await project.manifests('--image', 'shop/orders:2', '--check');
  expect(checked.code).toBe(1);
  expect(changesIn(checked.stdout)).toEqual([
    `changed  ${file}`,
    `--- a/${file}`,
    `+++ b/${file}`,
    expect.stringMatching(/^@@ /),
    ' images:',
    '   - name: muster',
    '     newName: shop/orders',
    "-    newTag: '1'",
    "+    newTag: '2'",
    ' configMapGenerator:',
    expect.stringContaining('# Environment variables of every process.'),
    '   - name: muster',
  ]);
  expect(checked.stderr).toBe(
    `muster: ${file}: not as generated with these options. Run muster manifests without --check, with --prune if files are left over, and commit the result\n`,
  );
  expect(project.read('manifests/kustomization.yaml')).toBe(before);

  const written = await project.manifests('--image', 'shop/orders:2');
  expect(written).toMatchObject({ code: 0, stderr: '' });
  expect(changesIn(written.stdout)).toEqual([`changed  ${file}`]);
  expect(project.read('manifests/kustomization.yaml')).toBe(before.replace("'1'", "'2'"));
});

test('a Trigger of a type with digits stays in the kustomization of a run for another function', async () => {
  const text = `defineFunction({
    name: 'versioned',
    parts: { paid: { event: 'com.shop.order.v1', key: 'subject' } },
    handle() {},
  })`;
  using project = new Project({ orders: FUNCTIONS['orders']!, versioned: text });
  expect(await project.manifests()).toMatchObject({ code: 0, stderr: '' });
  expect(changesIn((await project.manifests('orders')).stdout)).toEqual([]);
  expect(project.read('manifests/kustomization.yaml')).toContain(
    'versioned/trigger-com-shop-order-v1.yaml',
  );
  expect(changesIn((await project.manifests()).stdout)).toEqual([]);
});

test('an edited file is kept while what is generated for it stays the same', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests();
  const edited = project.read('manifests/orders/scaled-object.yaml').replace(/: 8$/m, ': 3');
  project.write('manifests/orders/scaled-object.yaml', edited);
  const kept = `kept     ${project.path('manifests/orders/scaled-object.yaml')}, which has been edited`;

  for (const args of [['--check'], [], ['--image', 'shop/orders:2'], []]) {
    const { code, stdout } = await project.manifests(...args);
    expect([args, code]).toEqual([args, 0]);
    expect(changesIn(stdout)).toContain(kept);
  }
  expect(project.read('manifests/orders/scaled-object.yaml')).toBe(edited);
  expect(project.read('manifests/kustomization.yaml')).not.toContain('newTag');

  const forced = await project.manifests('--force');
  expect(changesIn(forced.stdout)).toEqual([
    `changed  ${project.path('manifests/orders/scaled-object.yaml')}`,
  ]);
  expect(project.read('manifests/orders/scaled-object.yaml')).toBe(
    edited.replace(/(maxReplicaCount:) 3/, '$1 8'),
  );
});

test('an edited file that would be overwritten is an error, and nothing is written without --force', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests('--brokers', 'a:9092');
  const source = project.read('manifests/orders/kafka-source.yaml');
  const edited = source.replace('consumers: 1', 'consumers: 2');
  project.write('manifests/orders/kafka-source.yaml', edited);
  const path = project.path('manifests/orders/kafka-source.yaml');

  const refused = await project.manifests('--brokers', 'b:9092');
  expect(refused.code).toBe(1);
  expect(refused.stderr).toBe(
    `muster: nothing was written, because these files have been edited and would be overwritten: ${path}. Make the changes in a kustomization of your own with ${project.path('manifests')} as a resource (docs/your-repository.md), then overwrite the files with --force\n`,
  );
  expect(refused.stdout).toContain(`conflict ${path}\n--- a/${path}\n+++ b/${path}\n@@ `);
  const changed = refused.stdout.split('\n').filter((line) => /^[-+] /.test(line));
  expect(changed).toEqual([
    '-  bootstrapServers: [a:9092]',
    '+  bootstrapServers: [b:9092]',
    '-  consumers: 2',
    '+  consumers: 1',
  ]);
  expect(project.read('manifests/orders/kafka-source.yaml')).toBe(edited);
  expect(project.read('manifests/orders/dead-letters.yaml')).toContain('[a:9092]');
  expect((await project.manifests('--brokers', 'b:9092', '--check')).code).toBe(1);

  expect(await project.manifests('--brokers', 'b:9092', '--force')).toMatchObject({ code: 0 });
  expect(project.read('manifests/orders/kafka-source.yaml')).toBe(
    source.replace('a:9092', 'b:9092'),
  );
  expect((await project.manifests('--brokers', 'b:9092', '--check')).code).toBe(0);
});

test('a file of somebody else, in a folder without a record, is not overwritten either', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  project.write('manifests/kustomization.yaml', 'resources: []\n');
  const refused = await project.manifests();
  expect(refused.code).toBe(1);
  expect(refused.stdout).toContain(`conflict ${project.path('manifests/kustomization.yaml')}\n`);
  expect(filesIn(project)).toEqual(['kustomization.yaml']);
  expect(project.read('manifests/kustomization.yaml')).toBe('resources: []\n');
});

test('line ends that Git has changed are no edit', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests();
  const windows = project.read('manifests/kustomization.yaml').replaceAll('\n', '\r\n');
  project.write('manifests/kustomization.yaml', windows);
  expect(changesIn((await project.manifests()).stdout)).toEqual([]);
  expect(project.read('manifests/kustomization.yaml')).toBe(windows);
  const changed = await project.manifests('--image', 'shop/orders:1');
  expect(changed).toMatchObject({ code: 0 });
});

test('a run that was killed before its record was written is completed by the next one', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests('--brokers', 'a:9092');
  const record = project.read('manifests/.generated');
  await project.manifests('--brokers', 'b:9092');
  project.write('manifests/.generated', record);
  expect(await project.manifests('--brokers', 'b:9092')).toMatchObject({ code: 0 });
  expect(await project.manifests('--brokers', 'c:9092')).toMatchObject({ code: 0 });
});

test('files that are no longer generated are named with their objects, and deleted on request', async () => {
  using project = new Project();
  await project.manifests();
  const edited = 'manifests/orders/service.yaml';
  project.write(edited, `# mine\n${project.read(edited)}`);
  const old = ['orders/network-policy', 'orders/service'].map((name) =>
    project.path(`manifests/${name}.yaml`),
  );

  const { code, stdout, stderr } = await project.manifests('--workload', 'knative-service');
  expect(code).toBe(0);
  for (const path of old) expect(stdout).toContain(`obsolete ${path}\n`);
  expect(stderr).toMatch(/^No longer generated: .*orders\/service\.yaml/m);
  expect(stderr).toContain(
    '--prune deletes files that have not been edited, --prune --force all.\n',
  );
  const [, objects] = /delete their objects: kubectl --namespace muster delete (.*)\n/.exec(
    stderr,
  )!;
  expect(
    objects!
      .split(' ')
      .filter((each) => each.endsWith('/orders'))
      .toSorted(),
  ).toEqual([
    'deployment.apps/orders',
    'networkpolicy.networking.k8s.io/orders',
    'poddisruptionbudget.policy/orders',
    'scaledobject.keda.sh/orders',
    'service/orders',
  ]);
  const kustomization = project.read('manifests/kustomization.yaml');
  expect(kustomization).not.toContain('orders/service.yaml');
  expect(kustomization).toContain('  - orders/knative-service.yaml\n');

  // also in later runs
  const checked = await project.manifests('--workload', 'knative-service', '--check');
  expect(checked.code).toBe(1);
  expect(checked.stdout).toContain(`obsolete ${old[0]}\n`);

  const pruned = await project.manifests('--workload', 'knative-service', '--prune');
  expect(pruned.code).toBe(0);
  expect(pruned.stdout).toContain(`deleted  ${old[0]}\n`);
  expect(changesIn(pruned.stdout)).toContain(`obsolete ${old[1]}`);
  expect(existsSync(project.path(edited))).toBe(true);
  expect(pruned.stderr).toContain('deployment.apps/orders');
  await project.manifests('--workload', 'knative-service', '--prune', '--force');
  expect(existsSync(project.path(edited))).toBe(false);
  expect(await project.manifests('--workload', 'knative-service', '--check')).toMatchObject({
    code: 0,
    stderr: '',
  });
});

test('the folder of a function that is gone goes with its files, but nothing else in it', async () => {
  using project = new Project();
  await project.manifests();
  project.write('manifests/late-returns/alert.yaml', 'mine');
  project.delete('functions/orders.ts');
  project.delete('functions/late-returns.ts');
  expect(await project.manifests('--prune')).toMatchObject({ code: 0 });
  expect(filesIn(project).filter((file) => /orders|late/.test(file))).toEqual([
    'late-returns',
    'late-returns/alert.yaml',
  ]);
});

test('a namespace that is no longer generated is not to be deleted in the cluster', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests();
  const { stdout, stderr } = await project.manifests('--namespace', 'shop');
  expect(stdout).toContain(`obsolete ${project.path('manifests/shared/namespace.yaml')}\n`);
  expect(stderr).toMatch(/^No longer generated: .*namespace\.yaml\. --prune .*\n$/);
});

test('a record can not name files outside of the folder', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests();
  project.write('mine.yaml', 'mine');
  const record = project.read('manifests/.generated');
  project.write('manifests/.generated', `${record}${'0'.repeat(64)}  ../mine.yaml\n`);
  const { stdout } = await project.manifests('--prune', '--force');
  expect(changesIn(stdout)).toEqual([]);
  expect(project.read('mine.yaml')).toBe('mine');
});

test('some functions only: files of the others stay, and the kustomization lists all', async () => {
  using project = new Project();
  await project.manifests('orders');
  const orders = project.read('manifests/orders/deployment.yaml');
  const { stdout, stderr } = await project.manifests(
    'late-returns',
    '--workload',
    'knative-service',
  );
  expect(stderr).toBe('');
  expect(stdout).not.toMatch(/obsolete|orders\//);
  await project.manifests('positions');
  expect(project.read('manifests/orders/deployment.yaml')).toBe(orders);
  const listed = [
    ...project.read('manifests/kustomization.yaml').matchAll(/^ {2}- (\S+\.yaml)$/gm),
  ];
  const written = filesIn(project).filter((file) => file.includes('/'));
  expect(listed.map(([, file]) => file!).toSorted()).toEqual(written);
  expect(written).toContain('late-returns/knative-service.yaml');

  await project.manifests('orders', '--workload', 'knative-service');
  const now = project.read('manifests/kustomization.yaml');
  expect(now).not.toContain('orders/deployment.yaml');
  expect(now).toContain('positions/deployment.yaml');
  await project.manifests('late-returns', '--workload', 'knative-service');
  expect(project.read('manifests/kustomization.yaml')).toBe(now);
});

test.skipIf(spawnSync('sha256sum', ['--version']).status !== 0)(
  'the record is in the format of sha256sum',
  async () => {
    using project = new Project({ orders: FUNCTIONS['orders']! });
    await project.manifests();
    const verify = () =>
      spawnSync('sha256sum', ['--check', '--quiet', '.generated'], {
        cwd: project.path('manifests'),
        encoding: 'utf8',
      });
    expect(verify()).toMatchObject({ status: 0, stdout: '' });
    project.write('manifests/shared/migrate.yaml', '');
    expect(verify()).toMatchObject({ status: 1, stdout: 'shared/migrate.yaml: FAILED\n' });
  },
);

test('with --json each file is an object, with its difference', async () => {
  using project = new Project({ orders: FUNCTIONS['orders']! });
  await project.manifests();
  const { stdout, stderr } = await project.manifests(
    '--image',
    'a:2',
    '--intake',
    'kafka',
    '--check',
    '--json',
  );
  const files = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { file: string; state: string; diff?: string });
  const of = (name: string) => files.find(({ file }) => file === project.path(`manifests/${name}`));
  expect(of('kustomization.yaml')).toMatchObject({
    state: 'changed',
    diff: expect.stringContaining("\n+    newTag: '2'\n"),
  });
  expect(of('orders/service.yaml')).toEqual({
    file: project.path('manifests/orders/service.yaml'),
    state: 'obsolete',
  });
  expect(of('shared/migrate.yaml')).toEqual({
    file: project.path('manifests/shared/migrate.yaml'),
    state: 'same',
  });
  expect(stderr.split('\n')).toHaveLength(2);
});

test.each([
  [
    ['--workload', 'knative-service', '--intake', 'kafka'],
    '--intake kafka does not go with --workload knative-service: pods that read the topics get no requests, and a Knative Service is scaled by requests; use --workload deployment',
  ],
  [
    ['positions', '--workload', 'knative-service'],
    '--workload knative-service: projections (positions) read their topic without requests, and a Knative Service is scaled by requests; use --workload deployment',
  ],
  [['--workload', 'pod'], "--workload must be deployment or knative-service, not 'pod'"],
  [['--intake', 'amqp'], "--intake must be http, kafka or wal, not 'amqp'"],
  [['--check', '--prune'], '--check writes nothing: it goes neither with --force nor with --prune'],
  [['--check', '--force'], '--check writes nothing: it goes neither with --force nor with --prune'],
  [
    ['--namespace', 'Shop_1'],
    "'Shop_1' is no namespace: at most 63 lower-case letters, digits and dashes, no dash at an end",
  ],
])('%j is refused', async (args, message) => {
  using project = new Project();
  expect(await project.manifests(...args)).toEqual({
    code: 2,
    stdout: '',
    stderr: `muster: ${message}\n`,
  });
  expect(existsSync(project.path('manifests'))).toBe(false);
});

test.each([
  ['metrics', 'objects that all functions share have this name in a cluster: rename the function'],
  ['shared', 'objects that all functions share have this name in a cluster: rename the function'],
])('a function called %s is refused', async (name, message) => {
  using project = new Project({ [name]: FUNCTIONS['orders']!.replace("'orders'", `'${name}'`) });
  const { code, stderr } = await project.manifests();
  expect([code, stderr]).toEqual([2, `muster: function ${name}: ${message}\n`]);
});

test('a file in place of the folder is refused', async () => {
  using project = new Project();
  project.write('manifests', '');
  const { code, stderr } = await project.manifests();
  expect([code, stderr]).toEqual([
    2,
    `muster: --out: ${project.path('manifests')} is a file: name a folder\n`,
  ]);
});
