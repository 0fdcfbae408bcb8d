import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

/**
 * The rooms of the project, from the lowest up. A room imports only itself and the earlier rooms listed for
 * it. `src/function.ts` is the module that authors import, so every room may import it.
 */
const ROOMS: readonly (readonly [room: string, imports: readonly string[]])[] = [
  ['src/author', []],
  ['src/function.ts', ['src/author']],
  ['src/lib', []],
  ['src/telemetry', ['src/lib']],
  ['src/schemas', ['src/lib']],
  ['src/definitions', ['src/lib']],
  ['src/config', ['src/definitions']],
  ['src/kafka', ['src/config', 'src/lib']],
  ['src/state', ['src/definitions', 'src/lib', 'src/telemetry']],
  ['src/runs', ['src/definitions', 'src/lib', 'src/state', 'src/telemetry']],
  [
    'src/outbox',
    ['src/config', 'src/definitions', 'src/kafka', 'src/lib', 'src/state', 'src/telemetry'],
  ],
  [
    'src/intake',
    ['src/definitions', 'src/kafka', 'src/lib', 'src/schemas', 'src/state', 'src/telemetry'],
  ],
  ['src/reconcile', ['src/definitions', 'src/intake', 'src/state']],
  ['src/console', ['src/config', 'src/definitions', 'src/lib', 'src/state', 'src/telemetry']],
  ['functions', ['src/console']],
  [
    'src/process',
    [
      'src/author',
      'src/config',
      'src/definitions',
      'src/intake',
      'src/kafka',
      'src/lib',
      'src/outbox',
      'src/runs',
      'src/schemas',
      'src/state',
      'src/telemetry',
    ],
  ],
  ['src/local', ['src/definitions', 'src/intake', 'src/lib']],
  [
    'src/testing.ts',
    ['src/author', 'src/config', 'src/definitions', 'src/local', 'src/process', 'src/state'],
  ],
  ['src/manifests', ['src/definitions', 'src/lib']],
  ['src/build', ['src/definitions', 'src/lib', 'src/local']],
  [
    'src/doctor',
    ['src/config', 'src/definitions', 'src/kafka', 'src/lib', 'src/schemas', 'src/state'],
  ],
  [
    'src/cli',
    [
      'src/build',
      'src/config',
      'src/console',
      'src/definitions',
      'src/doctor',
      'src/intake',
      'src/kafka',
      'src/lib',
      'src/local',
      'src/manifests',
      'src/process',
      'src/reconcile',
      'src/state',
    ],
  ],
  [
    'dev',
    [
      'src/cli',
      'src/config',
      'src/definitions',
      'src/intake',
      'src/lib',
      'src/local',
      'src/process',
      'src/state',
    ],
  ],
];

/** The same within `src/state`, whose own files, such as `change.ts`, are below all of its rooms except `purge`. */
const STATE: readonly (readonly [room: string, imports: readonly string[]])[] = [
  ['database', []],
  ['schema', ['database']],
  ['registration', ['database']],
  ['queries', ['database']],
  ['ingest', ['database', 'queries', 'registration']],
  ['runs', ['database']],
  ['projections', ['database', 'ingest']],
];

const { exports: entries } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  exports: Record<string, string>;
};
/** Sources of the package's entry points, by the name under which functions import them. */
const OWN = new Map(
  Object.entries(entries).map(([entry, source]) => [
    entry.replace('.', 'musterjs'),
    normalize(source),
  ]),
);

interface Import {
  readonly from: string;
  /** As it is written. */
  readonly path: string;
  readonly to: string;
}

const imports = ['src', 'dev', 'functions'].flatMap((folder) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((file) => join(folder, file))
    .filter((file) => file.endsWith('.ts') && !/\/(?:page|template)\//.test(file))
    .flatMap((from): Import[] =>
      [
        ...readFileSync(from, 'utf8').matchAll(/(?:from|import\()\s*'(\.[^']+|musterjs[^']*)'/g),
      ].map(([, path]) => ({
        from,
        path: path!,
        to: OWN.get(path!) ?? normalize(join(dirname(from), path!)),
      })),
    ),
);

function wrong(rooms: typeof ROOMS, roomOf: (file: string) => string | undefined): string[] {
  const allowed = new Map(rooms);
  return imports.flatMap(({ from, to }) => {
    const [importing, imported] = [roomOf(from), roomOf(to)];
    if (importing === undefined || imported === undefined || importing === imported) return [];
    return allowed.get(importing)?.includes(imported) ? [] : [`${from} imports ${to}`];
  });
}

test('rooms import only rooms below them', () => {
  expect(imports.length).toBeGreaterThan(1_000);
  const names = ROOMS.map(([room]) => room);
  const roomOf = (file: string) =>
    file === 'src/function.ts'
      ? undefined
      : names.find((name) => `${file}/`.startsWith(`${name}/`));
  expect(wrong(ROOMS, roomOf)).toEqual([]);
  const inRoom = imports.filter(({ from }) => from !== 'src/function.ts');
  expect(inRoom.filter(({ from }) => roomOf(from) === undefined)).toEqual([]);
  for (const [room, below] of ROOMS) {
    expect([room, existsSync(room)]).toEqual([room, true]);
    const lower = names.slice(0, names.indexOf(room));
    expect([room, below.filter((name) => !lower.includes(name))]).toEqual([room, []]);
  }
});

test('functions import the package by its name, as those of other projects do', () => {
  const own = imports.filter(({ from }) => from.startsWith('functions/'));
  expect(own.filter(({ path }) => path.startsWith('musterjs')).length).toBeGreaterThan(5);
  expect(
    own.filter(({ path, to }) => path.startsWith('.') && !to.startsWith('functions/')),
  ).toEqual([]);
});

test('the rooms of state import each other in one direction', () => {
  const names = STATE.map(([room]) => room);
  const roomOf = (file: string) => names.find((name) => file.startsWith(`src/state/${name}/`));
  expect(wrong(STATE, roomOf)).toEqual([]);
  for (const [room, below] of STATE) {
    const lower = names.slice(0, names.indexOf(room));
    expect([room, below.filter((name) => !lower.includes(name))]).toEqual([room, []]);
  }
});

test('there are no circular imports', () => {
  const next = Map.groupBy(imports, ({ from }) => from);
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    for (const { to } of next.get(file) ?? []) visit(to, [...path, file]);
    done.add(file);
  };
  for (const file of next.keys()) visit(file, []);
  expect(circles).toEqual([]);
});

test('the root of src contains the modules that authors import', () => {
  const files = readdirSync('src', { withFileTypes: true }).filter((each) => each.isFile());
  expect(files.map(({ name }) => name).toSorted()).toEqual(['function.ts', 'testing.ts']);
});
