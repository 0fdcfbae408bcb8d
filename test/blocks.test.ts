/** Every code block of the pages is run by a test, or its commands are checked; a block that is in no list fails. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { KINDS } from '../src/doctor/cluster/connector-settings.ts';
import { blocksOf, PAGES } from './support/blocks.ts';
import { commandsOf, namedCommand, problemsOf, problemsOfOwn } from './support/shell.ts';

/** Blocks that a test runs, by the file of the test. */
const RUN: Readonly<Record<string, readonly string[]>> = {
  'test/dev/quickstart.test.ts': ['README.md: npm ci && npm run demo'],
  'test/readme.test.ts': [
    "README.md: curl http://localhost:8080 -H 'Prefer: return=representation",
  ],
  'test/guides.test.ts': [
    'docs/from-polling.md: select id, recording from datastore.signal',
    "docs/security.md: create role orders_owner login createrole password 'change-m",
    'docs/security.md: DATABASE_URL=postgres://orders_owner:change-me@db.example.co',
    "docs/security.md: create role orders_serve login password 'change-me' in role",
    'docs/security.md: npx muster parked --json',
    'docs/operating.md: select relname, pg_size_pretty(pg_total_relation_size(oid))',
    'docs/operating.md: npx muster doctor --no-cluster --pods 8',
    'docs/operating.md: npx muster migrate',
    'docs/operating.md: npx muster epoch bump postgres',
    'docs/operating.md: npx muster reconcile orders --source "$SOURCE_URL"',
  ],
  'test/backup.test.ts': [
    'docs/operating.md: pg_dump --format custom --file orders.dump "$DATABASE_URL"',
    'docs/operating.md: pg_restore --exit-on-error --no-owner --no-privileges --dbna',
  ],
  'test/package/user.test.ts': ['docs/your-repository.md: npx muster migrate'],
  'test/package/support/use.ts': [
    'docs/your-repository.md: insert into shop.parcel (order_id, weight) values (4711, 300',
  ],
  'test/package/support/use-project.ts': [
    'docs/your-repository.md: npx --yes --package "$MUSTERJS" muster init my-orders --pack',
    'docs/your-repository.md: npm test',
  ],
  'test/package/support/dev.ts': ['docs/your-repository.md: npm run dev'],
  'test/package/dockerfiles.test.ts': [
    'README.md: docker build --tag muster:quickstart . && docker build --tag',
    'knative/README.md: docker build --tag muster:quickstart . && docker build --tag',
  ],
  'test/package/build.test.ts': ['docs/your-repository.md: npx muster build'],
  'test/manifests/applied.test.ts': [
    'docs/operating.md: kubectl -n muster delete kafkasource recordings',
    'docs/security.md: kubectl -n muster rollout restart deployment/recordings',
    'knative/README.md: kubectl -n muster delete job migrate --ignore-not-found',
  ],
  'test/stack/dev.test.ts': [
    'docs/your-repository.md: npm run dev -- --kafka localhost:9092 --topic-prefix shop',
  ],
};

/** Blocks whose commands are only checked, by the reason why they can't be run here. */
const CHECKED: Readonly<Record<string, readonly string[]>> = {
  'it runs tests': ['CONTRIBUTING.md: npx vitest run test/state/ingest/races.test.ts'],
  'it is an outline, with a function that does not exist': [
    'CONTRIBUTING.md: export DATABASE_URL=postgres://… FUNCTIONS=orders',
  ],
  'it needs a cluster; test/manifests validates the manifests, and test/package/dockerfiles.test.ts builds the image':
    [
      'knative/README.md: kind create cluster',
      'knative/README.md: kubectl -n muster port-forward service/console 8081:80',
      'knative/kn/README.md: for part in crds core; do',
      'knative/kn/README.md: docker build --tag kind.local/muster:quickstart . && kind lo',
      'knative/kn/README.md: kubectl apply -k knative/kn',
    ],
};

const blocks = PAGES.flatMap(blocksOf);
const runnable = blocks.filter(({ language }) => language === 'sh' || language === 'sql');

test('every block of a page is run by a test, or is listed with the reason why it is only checked', () => {
  const listed = [...Object.values(RUN), ...Object.values(CHECKED)].flat();
  expect(runnable.map(({ name }) => name).toSorted()).toEqual(listed.toSorted());
  // those of TypeScript are run by docs.test.ts and readme.test.ts, those of YAML by test/manifests/rendered.test.ts,
  // those of JSON below; those without a language are output or drawings
  const others = new Set(blocks.map(({ language }) => language));
  expect([...others].toSorted()).toEqual(['', 'json', 'sh', 'sql', 'ts', 'yaml']);
});

test('the settings of connectors are those that the doctor asks for', () => {
  const own = blocks.filter(({ language }) => language === 'json');
  expect(own.map(({ page }) => page)).toEqual(['docs/databases.md']);
  const given = JSON.parse(own[0]!.text) as Record<string, string>;
  for (const database of ['MySql', 'MariaDb']) {
    const of = `io.debezium.connector.${database.toLowerCase()}.${database}Connector`;
    const wrong = KINDS.get(of)!.settings.filter(([name, isFine]) => !isFine(given[name]));
    expect([database, wrong]).toEqual([database, []]);
  }
});

test.each(Object.entries(RUN))('%s runs its blocks', (file, names) => {
  const text = readFileSync(file, 'utf8');
  for (const name of names) expect([name, text.includes(name)]).toEqual([name, true]);
});

function scriptsOf(...files: string[]): Set<string> {
  return new Set(
    files.flatMap((file) =>
      Object.keys((JSON.parse(readFileSync(file, 'utf8')) as { scripts: object }).scripts),
    ),
  );
}

test('the commands of blocks name what exists: commands, options, settings, files, objects', () => {
  for (const { name, page, language, text } of runnable) {
    if (language !== 'sh') continue;
    const own = page.startsWith('docs/') ? ['src/local/template/_package.json'] : [];
    const scripts = scriptsOf('package.json', ...own);
    expect([name, problemsOf(text, scripts)]).toEqual([name, []]);
  }
});

test('commands in the text of a page exist, with their options', () => {
  let count = 0;
  for (const page of PAGES) {
    const spans = readFileSync(page, 'utf8')
      .replaceAll(/^ *```[^]*?^ *```$/gm, '')
      .matchAll(/`(?:\w+=\S* )*(?:npx )?muster ([^`]+)`/g);
    for (const [, line] of spans) {
      for (const words of commandsOf(`muster ${line}`).map((each) => each.words)) {
        if (words[0] !== 'muster') continue;
        const [first] = words.slice(1) as [string];
        if (first === 'tests' || first.startsWith('--')) continue;
        count++;
        const command = namedCommand(words.slice(1));
        expect([page, line, command?.name()]).toEqual([page, line, expect.any(String)]);
        const known = command!
          .createHelp()
          .visibleOptions(command!)
          .map(({ long }) => long);
        for (const option of words.filter((word) => /^--\w/.test(word))) {
          expect([page, line, option, known.includes(option)]).toEqual([page, line, option, true]);
        }
      }
    }
  }
  expect(count).toBeGreaterThan(50);
});

test('a mistake in a command is found', () => {
  const scripts = scriptsOf('package.json');
  const found = (text: string) => problemsOf(text, scripts);
  expect(found('npx muster sets --faild')).toEqual([
    expect.stringContaining("unknown option '--faild'"),
  ]);
  expect(found('npx muster explain orders')).toEqual([
    expect.stringContaining('missing required argument'),
  ]);
  expect(found('muster fly && DATABASE_UR=x muster serve')).toEqual([
    expect.stringContaining("unknown command 'fly'"),
    'DATABASE_UR is not a setting',
  ]);
  expect(found('kubectl exec deploy/none -- node muster.js sets --failed')).toEqual([
    'no such object: deploy/none',
  ]);
  expect(found('kubectl apply -k knative/none')).toEqual([
    'no such file: knative/none/kustomization.yaml',
  ]);
  expect(found('kubectl exec deploy/console -- node muster.js set')).toHaveLength(1);
  expect(found('npm run nothing')).toEqual(['no script: npm run nothing']);
  expect(found('rm -rf /')).toEqual(['unknown: rm -rf /']);
  expect(problemsOfOwn(['build', '--platform', 'linux/arm'])).toHaveLength(1);
});

test('the files that reasons name exist', () => {
  for (const reason of Object.keys(CHECKED)) {
    for (const [file] of reason.matchAll(/\btest\/[\w./-]*\w/g)) {
      expect([file, existsSync(file)]).toEqual([file, true]);
    }
  }
});
