/** The project of docs/your-repository.md, installed outside of this repository. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, inject } from 'vitest';
import { blockOf } from '../../support/blocks.ts';
import { oncePerRun } from '../../support/once-per-run.ts';
import { command, pack, type Packed } from './project.ts';

/** The commands that create and install the project. */
export const CREATE = blockOf(
  'docs/your-repository.md: npx --yes --package "$MUSTERJS" muster init my-orders --pack',
);
export const TEST = blockOf('docs/your-repository.md: npm test');

/** Packages come from npm's cache where it has them. */
export const NPM = { npm_config_prefer_offline: 'true', npm_config_audit: 'false' };

export const shell = (text: string) => ['sh', '-e', '-c', text];

/** Where the project is, once the tests of a file run. */
export interface Project {
  readonly folder: string;
  readonly packed: Packed;
}

/**
 * Gives the tests of a file a copy of the installed project, which they may change, in a path with a space. Skips them
 * where no packages can be had.
 */
export function useProject(): Project {
  const project = { folder: '', packed: { content: '', tarball: '' } };
  let offline: string | null = null;
  beforeAll(async () => {
    project.packed = await pack();
    const created = await oncePerRun('a project', (folder) => create(folder));
    offline = created.offline;
    if (offline !== null) return;
    // beside the other one, because npm stores the path to the package as a relative one
    const beside = mkdtempSync(join(inject('runFolder'), 'a copy '));
    project.folder = join(beside, 'my-orders');
    execFileSync('cp', ['-a', created.folder, project.folder]);
  }, 240_000);
  beforeEach(({ skip }) => {
    if (offline !== null) skip(offline);
  });
  return project;
}

/** Creates the project, or reports why none can be installed here. */
async function create(
  folder: string,
): Promise<{ readonly folder: string; readonly offline: string | null }> {
  const { tarball } = await pack();
  const { code, stderr } = await command(folder, shell(CREATE), { ...NPM, MUSTERJS: tarball });
  const created = join(folder, 'my-orders');
  if (code === 0) return { folder: created, offline: null };
  const isOffline = /E(?:NOTFOUND|AI_AGAIN|CONNREFUSED|NETUNREACH|NOTCACHED)/.test(stderr);
  if (!isOffline || process.env['REQUIRE_STACK'] === '1') throw new Error(stderr);
  return { folder: created, offline: 'the registry of packages does not answer' };
}
