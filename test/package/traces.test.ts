/** Where an error is thrown: lines of the sources, in what is logged. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { beforeAll, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../src/local/port.ts';
import { until } from '../support/until.ts';
import { Dev } from './support/dev.ts';
import { command, userEnvironment, write } from './support/project.ts';
import { postRow, servingEnvironment } from './support/serve-set.ts';
import { useProject } from './support/use-project.ts';

const project = useProject();

/** Types are removed when it is loaded or built; without them line 9 would be another one. */
const BROKEN = `import { defineFunction } from 'musterjs';

interface Row {
  readonly id: number;
}

const refuse = (row: Row): never => {
  // the line of this error is looked for
  throw new RangeError(\`no \${row.id}\`);
};

export default defineFunction({
  name: 'broken',
  parts: { one: { table: 'shop.item', key: 'id' } },
  handle: (set) => refuse(set.parts.one[0]!.row as unknown as Row),
});
`;
const PLACE = /at refuse \(file:.*\/functions\/broken\.ts:9:9\)/;

const MAPPED = { NODE_OPTIONS: '--enable-source-maps' };

beforeAll(() => {
  if (project.folder !== '') write(project.folder, { 'functions/broken.ts': BROKEN });
});

/** Lets a server run the function; returns the frames that it logs. */
async function framesLogged(program: string, more: Readonly<Record<string, string>>) {
  const serving = await servingEnvironment();
  const env = { ...userEnvironment(), ...serving, EXIT_WITH_STDIN: '1', ...more };
  const commands = `${program} migrate\nexec ${program} serve`;
  const served = spawn('sh', ['-e', '-c', commands], {
    cwd: project.folder,
    env,
  });
  onTestFinished(() => void served.kill('SIGKILL'));
  let said = '';
  for (const output of [served.stdout, served.stderr]) {
    output.on('data', (text) => (said += text));
  }
  await until(async () => {
    if (served.exitCode !== null) throw new Error(`it has ended:\n${said}`);
    return (await postRow(serving['PORT']!, 'item', { id: 7 })) === 204;
  });
  const line = await until(() => /^.*"the attempt failed".*\n/m.exec(said)?.[0]);
  served.stdin.end();
  await once(served, 'exit');
  const { error, at } = JSON.parse(line) as { error: string; at: string[] };
  expect(error).toBe('RangeError: no 7');
  return at.join('\n');
}

test('muster dev names the line of a function at which an error was thrown', async () => {
  const port = await freePort();
  const dev = new Dev(project.folder, port, await freePort());
  await dev.says('Ctrl-C ends.');
  expect(await postRow(String(port), 'item', { id: 7 })).toBe(204);
  await dev.says('the attempt failed');
  expect(await dev.says('broken.ts:9:9)')).toMatch(/RangeError: no 7\n {4}at refuse /);
}, 60_000);

test('muster serve logs the lines of functions, and with source maps those of the package', async () => {
  const muster = 'npx muster';
  const plain = await framesLogged(muster, {});
  expect(plain).toMatch(PLACE);
  expect(plain).toMatch(/\/node_modules\/musterjs\/runs\/[\w-]+\.js:\d+/);
  const mapped = await framesLogged(muster, MAPPED);
  expect(mapped).toMatch(PLACE);
  expect(mapped).toMatch(/\/node_modules\/musterjs\/src\/runs\/[\w-]+\.ts:\d+/);
}, 60_000);

test('a bundle logs the lines of sources with source maps, wherever it was built', async () => {
  const built = await command(project.folder, ['npx', 'muster', 'build', 'mapped']);
  expect(built).toMatchObject({ code: 0, stderr: '' });
  const bundle = `node '${join(project.folder, 'mapped/muster.js')}'`;
  expect(await framesLogged(bundle, {})).toMatch(/\/mapped\/functions\/broken\.js:\d+/);
  const mapped = await framesLogged(bundle, MAPPED);
  // paths in the project, as if the bundle were its folder
  expect(mapped).toMatch(/at refuse \(.*\/mapped\/functions\/broken\.ts:9:9\)/);
  expect(mapped).toMatch(/\/mapped\/node_modules\/musterjs\/src\/runs\/[\w-]+\.ts:\d+/);
}, 120_000);
