import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { writeArchive } from '../../src/build/archive.ts';
import { START } from '../../src/build/image.ts';
import { ownArchitecture } from '../../src/build/platform.ts';

interface Blob {
  readonly digest: string;
}

test.skipIf(process.platform !== 'linux')(
  'an image for two platforms is an index, and for older Docker the one of this machine',
  () => {
    const home = mkdtempSync(join(tmpdir(), 'muster-archive-'));
    onTestFinished(() => rmSync(home, { recursive: true, force: true }));
    const own = ownArchitecture();
    const other = own === 'arm64' ? 'amd64' : 'arm64';
    const images = [other, own].map((architecture) => {
      const folder = join(home, architecture);
      mkdirSync(folder);
      writeFileSync(join(folder, 'file'), architecture);
      return { architecture, layers: [{ folder, at: '' }] };
    });
    const file = join(home, 'two.tar');
    const written = writeArchive({ name: 'muster:test', images, start: START, file });
    const unpacked = join(home, 'unpacked');
    mkdirSync(unpacked);
    execFileSync('tar', ['-C', unpacked, '-xf', file]);

    const json = (path: string) => JSON.parse(readFileSync(join(unpacked, path), 'utf8'));
    const blob = ({ digest }: Blob) => json(join('blobs', digest.replace(':', '/')));
    const index = 'application/vnd.oci.image.index.v1+json';
    const { manifests } = json('index.json');
    expect(manifests).toMatchObject([{ mediaType: index, digest: written }]);
    expect(blob(manifests[0])).toMatchObject({
      mediaType: index,
      manifests: [
        { platform: { os: 'linux', architecture: other } },
        { platform: { os: 'linux', architecture: own } },
      ],
    });
    const configs = blob(manifests[0]).manifests.map((each: Blob) => blob(blob(each).config));
    expect(configs).toMatchObject([{ architecture: other }, { architecture: own }]);
    expect(configs[0].rootfs.diff_ids).not.toEqual(configs[1].rootfs.diff_ids);
    expect(json(json('manifest.json')[0].Config)).toEqual(configs[1]);
  },
);
