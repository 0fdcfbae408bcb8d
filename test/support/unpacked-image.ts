/** An image from the archive that `muster build --image` writes, and containers of it, without a container engine. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Start } from '../../src/build/archive.ts';

export interface UnpackedImage {
  /** Each layer in a folder of its own. */
  readonly layers: readonly string[];
  /** All layers on top of each other, as a container sees them. */
  readonly root: string;
  readonly config: {
    readonly os: string;
    readonly architecture: string;
    readonly config: Start;
  };
}

interface Manifest {
  readonly config: Blob;
  readonly layers: readonly Blob[];
}

interface Blob {
  readonly digest: string;
}

/**
 * Unpacks an archive into a folder: the image that `docker load` reads from it, or that of an architecture in its index
 * of several.
 */
export function unpackImage(archive: string, folder: string, architecture?: string): UnpackedImage {
  const content = join(folder, 'archive');
  unpack(archive, content);
  const json = <T>(path: string) => JSON.parse(readFileSync(join(content, path), 'utf8')) as T;
  const inIndex = () => {
    const { manifests } = json<{ manifests: [Blob] }>('index.json');
    const images = json<{ manifests: (Blob & { platform: { architecture: string } })[] }>(
      pathOf(manifests[0]),
    ).manifests;
    const one = images.find(({ platform }) => platform.architecture === architecture)!;
    const { config, layers } = json<Manifest>(pathOf(one));
    return { Config: pathOf(config), Layers: layers.map(pathOf) };
  };
  const { Config, Layers } =
    architecture === undefined
      ? json<[{ Config: string; Layers: string[] }]>('manifest.json')[0]
      : inIndex();
  const root = join(folder, 'root');
  const layers = Layers.map((layer, i) => {
    const own = join(folder, `layer-${i}`);
    for (const into of [own, root]) unpack(join(content, layer), into);
    return own;
  });
  return { layers, root, config: json(Config) };
}

function pathOf({ digest }: Blob): string {
  return join('blobs', digest.replace(':', '/'));
}

function unpack(file: string, into: string): void {
  mkdirSync(into, { recursive: true });
  execFileSync('tar', ['-C', into, '-xpf', file]);
}

const ENTER = `
  mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" || exit 125
  shift; exec env -i "$@"`;

/**
 * Starts a container of an image as its configuration says: as PID 1, on a read-only root, in its working directory, as
 * its user, without capabilities. `args` replace its `Cmd`. For root on Linux: see `jailProblem`.
 */
export function startContainer(
  { root, config: { config } }: UnpackedImage,
  env: Readonly<Record<string, string>>,
  args: readonly string[] = config.Cmd,
): ChildProcess {
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const [user, group] = config.User.split(':') as [string, string];
  const enter = ['/usr/bin/unshare', '--root', root, '--wd', config.WorkingDir];
  const as = ['--setgid', group, '--setuid', user, '--'];
  const command = [...enter, ...as, ...config.Entrypoint, ...args];
  const isolated = ['--mount', '--pid', '--fork', '--kill-child'];
  const inside = [...config.Env, ...variables, ...command];
  return spawn('unshare', [...isolated, 'sh', '-c', ENTER, 'sh', root, ...inside]);
}
