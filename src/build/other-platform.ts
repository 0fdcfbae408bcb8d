import { mkdirSync, mkdtempSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BaseFiles } from './base.ts';
import { namesOf, type Architecture } from './platform.ts';
import { downloadSysroot, librariesIn } from './sysroot.ts';
import { runTool } from './tool.ts';

export interface OtherPlatformOptions {
  /** Root of a system for the platform; by default the C libraries are downloaded from Debian. */
  readonly sysroot?: string | undefined;
  /** The folder whose npm settings name the registry. */
  readonly project: string;
}

/** Gets what an image for another architecture than this machine's is made of, into a folder. */
export function filesFor(
  architecture: Architecture,
  folder: string,
  { sysroot, project }: OtherPlatformOptions,
): BaseFiles {
  mkdirSync(folder, { recursive: true });
  const system = sysroot ?? downloadSysroot(mkdtempSync(join(folder, 'debian-')), architecture);
  const node = downloadNode(architecture, mkdtempSync(join(folder, 'node-')), project);
  return { architecture, node, libraries: librariesIn(system, node, architecture), system };
}

/** Downloads the Node of this version for another architecture, which npm has as a package. */
function downloadNode(architecture: Architecture, folder: string, project: string): string {
  const name = `node-linux-${namesOf(architecture).node}@${process.versions.node}`;
  const pack = ['pack', name, '--loglevel=error', '--pack-destination', folder];
  try {
    runTool('npm', pack, { cwd: project });
  } catch (error) {
    throw new Error(`npm can't download ${name}: ${(error as Error).message}`, { cause: error });
  }
  const [archive] = readdirSync(folder);
  runTool('tar', ['-C', folder, '-xzf', join(folder, archive!)]);
  return join(folder, 'package/bin/node');
}
