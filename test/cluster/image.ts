import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { writeArchive } from '../../src/build/archive.ts';
import { writeBase } from '../../src/build/base.ts';
import { bundleAll } from '../../build/bundle.ts';
import { fillCache, layersOf, START } from '../../src/build/image.ts';
import { ownArchitecture } from '../../src/build/platform.ts';
import { say } from './say.ts';
import type { Settings } from './settings.ts';

/** A unique tag each time, because a node that has an image does not look for another of the same name. */
const NAME = `localhost/muster-trial:${process.pid}-${Date.now()}`;

/** Builds the image and loads it into the cluster unless it is already there; returns its reference. */
export async function imageOf(image: Settings['image']): Promise<string> {
  if ('reference' in image) return image.reference;
  const folder = mkdtempSync(join(tmpdir(), 'muster-trial-'));
  try {
    const archive = join(folder, 'image.tar');
    await writeTrialImage(NAME, folder, archive);
    execFileSync('sh', ['-c', `${image.load} "$1"`, 'sh', archive], { stdio: 'pipe' });
    say(`image ${NAME} built and loaded`);
    return NAME;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Writes the image as it is shipped, except that it contains the function of this folder instead of the
 * one of the same name, and the stand-in for Knative's dispatcher.
 */
async function writeTrialImage(name: string, folder: string, file: string): Promise<void> {
  const app = join(folder, 'app');
  writeBase(join(folder, 'base'));
  await bundleAll(app, {
    'functions/recordings': 'test/cluster/functions/recordings.ts',
    'dev/kafka-source': 'dev/kafka-source/main.ts',
  });
  const migrations = join(app, 'functions/recordings');
  rmSync(migrations, { recursive: true });
  cpSync(join(import.meta.dirname, 'functions/recordings'), migrations, { recursive: true });
  await fillCache(app, { columns: { sensor_label: 'warm-up' } });
  writeArchive({
    name,
    images: [{ architecture: ownArchitecture(), layers: layersOf(folder) }],
    start: START,
    file,
  });
}

if (import.meta.main) {
  const [archive, name] = process.argv.slice(2);
  if (archive === undefined || name === undefined) {
    throw new Error('usage: node test/cluster/image.ts <archive.tar> <name:tag>');
  }
  const folder = mkdtempSync(join(tmpdir(), 'muster-trial-'));
  await writeTrialImage(name, folder, resolve(archive));
  rmSync(folder, { recursive: true, force: true });
}
