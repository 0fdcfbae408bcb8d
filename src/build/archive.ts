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
import { architecture } from './base.ts';

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

export interface ArchiveOptions {
  /** With or without a tag: `muster` is `docker.io/library/muster:latest`, as in Docker. */
  readonly name: string;
  /** Folders, each packed as a layer below its path. */
  readonly layers: readonly { readonly folder: string; readonly at: string }[];
  readonly start: Start;
  /** The archive to write; an existing file is replaced. */
  readonly file: string;
}

/**
 * Packs folders as an image, in the OCI image layout (image-spec 1.1) plus Docker's manifest.json, so that
 * `docker load`, `ctr images import`, `kind load image-archive` and `skopeo copy oci-archive:` accept it.
 * Equal folders make an equal image: all files are owned by root and dated 1970. Returns the digest of the
 * image, by which manifests pin it.
 */
export function writeArchive({ name, layers, start, file }: ArchiveOptions): string {
  const folder = mkdtempSync(`${file}-`);
  try {
    mkdirSync(join(folder, 'blobs/sha256'), { recursive: true });
    const packed = layers.map((layer) => packLayer(folder, layer));
    const config = addBlob(folder, 'application/vnd.oci.image.config.v1+json', {
      architecture: architecture(),
      os: 'linux',
      config: start,
      // Not compressed, so that the digest of the archive is that of its content.
      rootfs: { type: 'layers', diff_ids: packed.map(({ digest }) => digest) },
    });
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = { schemaVersion: 2, mediaType, config, layers: packed };
    const tagged = /:[\w.-]+$/.test(name) ? name : `${name}:latest`;
    const annotations = {
      'io.containerd.image.name': referenceOf(tagged),
      'org.opencontainers.image.ref.name': tagged.slice(tagged.lastIndexOf(':') + 1),
    };
    const image = addBlob(folder, mediaType, manifest);
    const manifests = [{ ...image, annotations }];
    const json = (path: string, value: unknown) =>
      writeFileSync(join(folder, path), JSON.stringify(value));
    json('oci-layout', { imageLayoutVersion: '1.0.0' });
    json('index.json', { schemaVersion: 2, manifests });
    const blob = ({ digest }: Descriptor) => `blobs/${digest.replace(':', '/')}`;
    json('manifest.json', [{ Config: blob(config), RepoTags: [tagged], Layers: packed.map(blob) }]);
    pack(folder, file);
    return image.digest;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
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
