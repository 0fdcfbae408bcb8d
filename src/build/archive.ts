import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ownArchitecture } from './platform.ts';

/** The configuration with which containers of the image start. */
export interface Start {
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly WorkingDir: string;
  readonly User: string;
  readonly ExposedPorts: Readonly<Record<string, object>>;
  readonly Labels: Readonly<Record<string, string>>;
}

/** An image for one platform. */
export interface Image {
  readonly architecture: string;
  /** Folders, each packed as a layer below its path. */
  readonly layers: readonly { readonly folder: string; readonly at: string }[];
}

export interface ArchiveOptions {
  /** With or without a tag: `muster` is `docker.io/library/muster:latest`, as in Docker. */
  readonly name: string;
  /** One for each platform. */
  readonly images: readonly Image[];
  readonly start: Start;
  /** The archive to write; an existing file is replaced. */
  readonly file: string;
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

/**
 * Packs folders as an image, in the OCI image layout (image-spec 1.1) plus Docker's manifest.json, so that
 * `docker load`, `ctr images import`, `kind load image-archive` and `skopeo copy oci-archive:` accept it.
 * Equal folders make an equal image: all files are owned by root and dated 1970. Returns the digest of the
 * image, by which manifests pin it. An image for several platforms is an index of one for each.
 */
export function writeArchive({ name, images, start, file }: ArchiveOptions): string {
  const folder = mkdtempSync(`${file}-`);
  try {
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
    const packed = images.map((image) => packImage(folder, image, start));
    const tagged = /:[\w.-]+$/.test(name) ? name : `${name}:latest`;
    const annotations = {
      'io.containerd.image.name': referenceOf(tagged),
      'org.opencontainers.image.ref.name': tagged.slice(tagged.lastIndexOf(':') + 1),
    };
    const image = packed.length === 1 ? packed[0]!.manifest : addIndex(folder, packed);
    const json = (path: string, value: unknown) =>
      writeFileSync(join(folder, path), JSON.stringify(value));
    json('oci-layout', { imageLayoutVersion: '1.0.0' });
    json('index.json', { schemaVersion: 2, manifests: [{ ...image, annotations }] });
    // Docker without containerd's store reads this file instead, which names one image.
    const { config, layers } =
      packed.find(({ architecture }) => architecture === ownArchitecture()) ?? packed[0]!;
    const blob = ({ digest }: Descriptor) => `blobs/${digest.replace(':', '/')}`;
    json('manifest.json', [{ Config: blob(config), RepoTags: [tagged], Layers: layers.map(blob) }]);
    pack(folder, file);
    return image.digest;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface PackedImage {
  readonly architecture: string;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

function packImage(folder: string, { architecture, layers }: Image, start: Start): PackedImage {
  const packed = layers.map((layer) => packLayer(folder, layer));
  const config = addBlob(folder, 'application/vnd.oci.image.config.v1+json', {
    architecture,
    os: 'linux',
    config: start,
    // Not compressed, so that the digest of the archive is that of its content.
    rootfs: { type: 'layers', diff_ids: packed.map(({ digest }) => digest) },
  });
  const content = { schemaVersion: 2, mediaType: MANIFEST, config, layers: packed };
  return { architecture, manifest: addBlob(folder, MANIFEST, content), config, layers: packed };
}

function addIndex(folder: string, images: readonly PackedImage[]): Descriptor {
  const manifests = images.map(({ manifest, architecture }) => ({
    ...manifest,
    platform: { architecture, os: 'linux' },
  }));
  return addBlob(folder, INDEX, { schemaVersion: 2, mediaType: INDEX, manifests });
}

/** Expands a name as Docker does: the part before the first slash is a host if it looks like one. */
function referenceOf(tagged: string): string {
  if (/^(?:localhost|[^/]*[.:][^/]*)\//.test(tagged)) return tagged;
  return tagged.includes('/') ? `docker.io/${tagged}` : `docker.io/library/${tagged}`;
}

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

function packLayer(
  image: string,
  { folder, at }: { readonly folder: string; readonly at: string },
): Descriptor {
  const file = join(image, 'layer.tar');
  pack(folder, file, `--transform=flags=r;s,^\\.,.${at},`);
  const digest = sha256(readFileSync(file));
  renameSync(file, join(image, 'blobs', digest.replace(':', '/')));
  const { size } = statSync(join(image, 'blobs', digest.replace(':', '/')));
  return { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, size };
}

function addBlob(image: string, mediaType: string, value: unknown): Descriptor {
  const content = Buffer.from(JSON.stringify(value));
  const digest = sha256(content);
  writeFileSync(join(image, 'blobs', digest.replace(':', '/')), content);
  return { mediaType, digest, size: content.length };
}

function sha256(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

function pack(folder: string, file: string, ...more: string[]): void {
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', [...same, ...more, '-C', folder, '-cf', file, '.']);
}
