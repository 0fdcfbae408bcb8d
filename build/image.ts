/** Writes the image of this repository into a folder, and into an archive if one is named. */
import { resolve } from 'node:path';
import { writeArchive } from '../src/build/archive.ts';
import { layersOf, START, writeImage } from '../src/build/image.ts';
import { ownArchitecture } from '../src/build/platform.ts';
import { bundleAll } from './bundle.ts';

const [folder = 'image', archive, name = 'muster'] = process.argv.slice(2);
await writeImage(resolve(folder), bundleAll);
if (archive !== undefined) {
  const file = resolve(archive);
  const digest = writeArchive({
    name,
    images: [{ architecture: ownArchitecture(), layers: layersOf(resolve(folder)) }],
    start: START,
    file,
  });
  process.stdout.write(`${digest}\n`);
}
