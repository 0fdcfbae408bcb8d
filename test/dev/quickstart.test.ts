/** The README's first command, as it is there, in a copy of this repository. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { userEnvironment } from '../package/support/project.ts';
import { NPM } from '../package/support/use-project.ts';
import { blockOf } from '../support/blocks.ts';
import { until } from '../support/until.ts';

/** What a clone does not have. */
const NOT_CLONED = new Set(['.git', '.muster', 'dist', 'node_modules']);

test(
  'the first command of the README installs and runs the demo until Ctrl-C, which ends it in an orderly way',
  { timeout: 300_000 },
  async ({ skip }) => {
    const [first, second] = blockOf('README.md: npm ci && npm run demo').trim().split('\n');
    expect(first).toMatch(/^npm ci && npm run demo +#.*Ctrl-C ends it$/);
    expect(second).toMatch(/^npm ci && npm test +#/);
    const home = mkdtempSync(join(tmpdir(), 'muster-clone-'));
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    cpSync('.', home, { recursive: true, filter: (path) => !NOT_CLONED.has(basename(path)) });

    const env = { ...userEnvironment(), ...NPM };
    const shell = spawn('sh', ['-c', first!], { cwd: home, env, detached: true });
    const send = (signal: NodeJS.Signals) => process.kill(-shell.pid!, signal);
    const ended = once(shell, 'close');
    let output = '';
    for (const stream of [shell.stdout, shell.stderr]) {
      stream.on('data', (text) => (output += text));
    }
    onTestFinished(() => {
      if (shell.exitCode === null && shell.signalCode === null) send('SIGKILL');
    });
    // without a terminal it would end by itself, after some more of them
    const isOver = () => /^processed  /m.test(output) || shell.exitCode !== null;
    await until(isOver, 240_000).catch(({ message }: Error) => {
      throw new Error(`${message}\n${output}`);
    });
    if (shell.exitCode !== null) {
      const isOffline = /E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|NETUNREACH|NOTCACHED)/.test(output);
      if (isOffline && process.env['REQUIRE_STACK'] !== '1') {
        skip('no registry of packages answers');
      }
      throw new Error(output);
    }
    send('SIGINT'); // as a terminal does, to all processes
    await ended;
    expect(output).toMatch(/\nprocessed twice +0\nnot processed +0\n/);
  },
);
