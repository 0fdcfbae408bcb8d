import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { SETTINGS } from '../src/config/settings.ts';
import { specify } from '../src/definitions/specification.ts';
import type { FunctionDefinition } from '../src/function.ts';
import { muster } from './cli/command.ts';

const guides = readdirSync('docs').map(
  (name) => [name, readFileSync(join('docs', name), 'utf8')] as const,
);

test(
  'the functions in the guides compile, and their definitions are valid',
  { timeout: 60_000 },
  async () => {
    const folder = join('.muster', `docs-${process.pid}`);
    mkdirSync(folder, { recursive: true });
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const files = guides.flatMap(([name, text]) =>
      [...text.matchAll(/```ts\n([^]*?)```/g)].map(([, code], i) => {
        const file = join(process.cwd(), folder, `${name.replace('.md', '')}-${i}.ts`);
        writeFileSync(file, code!);
        return file;
      }),
    );
    expect(files.length).toBeGreaterThanOrEqual(2);
    const config = { extends: '../../tsconfig.json', include: ['*.ts'], exclude: [] };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const errors = await promisify(execFile)('node_modules/.bin/tsc', ['-p', folder]).then(
      () => '',
      ({ stdout }: { stdout: string }) => stdout,
    );
    expect(errors).toBe('');
    for (const file of files) {
      const { default: definition } = (await import(file)) as { default: FunctionDefinition };
      expect(specify(definition).name).toBe(definition.name);
    }
  },
);

test('the guides name commands, options, variables and metrics that exist', async () => {
  const metrics = readFileSync('src/process/metrics.ts', 'utf8');
  for (const [name, text] of guides) {
    for (const [, used] of text.matchAll(/`(muster_[a-z_]+)`/g)) {
      const isKnown = metrics.includes(used!) || used === 'muster_dev'; // a replication slot
      expect([name, used, isKnown]).toEqual([name, used, true]);
    }
    for (const [, used] of text.matchAll(/`([A-Z]+_[A-Z_]+)`/g)) {
      const isKnown = Object.hasOwn(SETTINGS, used!) || used === 'TEST_DATABASE_URL';
      expect([name, used, isKnown]).toEqual([name, used, true]);
    }
  }
  const commands = guides.flatMap(([, text]) =>
    [...text.matchAll(/\bmuster ((?:[a-z]+ )*[a-z]+)((?: --[a-z-]+)*)/g)].map(
      ([, line, options]) => [line!, options!.trim()],
    ),
  );
  const { stdout } = await muster({}, ['--help']);
  const known = [...stdout.matchAll(/^ {2}([a-z]+)/gm)].map(([, each]) => each!);
  for (const [line, options] of commands) {
    const [command] = line!.split(' ') as [string];
    if (!known.includes(command)) continue; // prose
    for (const option of options!.split(' ').filter((each) => each !== '')) {
      const help = await muster({}, [command, '--help']);
      expect([command, option, help.stdout.includes(option)]).toEqual([command, option, true]);
    }
  }
  expect(commands.length).toBeGreaterThan(10);
});
