/**
 * Builds Dockerfiles with buildah, which needs no daemon. No registry of images is asked: the image that they begin
 * with is made of this machine's Debian, by the packages that Debian's own image has, and of the Node of the tests.
 */
import { execFile, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { jailProblem } from './jail.ts';
import { oncePerRun } from './once-per-run.ts';
import { unpackImage, type UnpackedImage } from './unpacked-image.ts';

/** Why no Dockerfile can be built on this machine; null if one can. */
export function buildahProblem(): string | null {
  const jail = jailProblem();
  if (jail !== null) return jail;
  if (spawnSync('buildah', ['--version']).status !== 0) return 'buildah is not installed';
  return existsSync('/etc/debian_version') ? null : 'the first image is made of Debian';
}

const run = promisify(execFile);

/** What Dockerfiles find when they are built. */
interface Surroundings {
  /** The registry that npm uses. */
  readonly registry: string;
  /** A folder for files of the build. */
  readonly folder: string;
  /** Tags of the images `node` that they may begin with. */
  readonly tags: readonly string[];
}

/** Builds the Dockerfile of a folder, and unpacks the image into another folder. */
export async function buildImage(
  context: string,
  surroundings: Surroundings,
): Promise<UnpackedImage> {
  const { folder } = surroundings;
  const { store, build } = await prepare(surroundings);
  const image = `localhost/built-${randomUUID()}`;
  await buildah(store, ...build, '--tag', image, context);
  const archive = join(folder, 'image.tar');
  await buildah(store, 'push', '--quiet', image, `docker-archive:${archive}`);
  const unpacked = unpackImage(archive, join(folder, 'unpacked'));
  rmSync(archive);
  return unpacked;
}

/** The commands `docker build` and `kind load docker-image`, as the guides use them. */
export interface DockerAndKind {
  /** A folder for the PATH. */
  readonly programs: string;
  /** The archive of an image that `kind` has loaded. */
  readonly archiveOf: (image: string) => string;
}

/**
 * Returns the commands of the guides, which buildah executes. `standIns` are further images that Dockerfiles may begin
 * with, by name, with a folder of their files.
 */
export async function dockerAndKind(
  surroundings: Surroundings,
  standIns: Readonly<Record<string, string>>,
): Promise<DockerAndKind> {
  const { store, build } = await prepare(surroundings);
  for (const [image, files] of Object.entries(standIns)) {
    const container = await buildah(store, 'from', 'scratch');
    await buildah(store, 'copy', '--quiet', container, files, '/');
    await buildah(store, 'commit', '--quiet', '--rm', container, image);
  }
  const { folder } = surroundings;
  const programs = join(folder, 'bin');
  mkdirSync(programs);
  const write = (name: string, script: string) =>
    writeFileSync(join(programs, name), `#!/bin/sh -e\n${script}\n`, { mode: 0o755 });
  const program = `BUILDAH_ISOLATION=chroot buildah ${quoted(storage(store))}`;
  write(
    'docker',
    `if [ "$1" != build ]; then exit 64; fi; shift; ${program} ${quoted(build)} "$@"`,
  );
  const archive = `docker-archive:${join(folder, '$name.tar')}`;
  const load = `name=$(echo "$image" | tr : -); ${program} push --quiet "$image" "${archive}"`;
  write(
    'kind',
    `if [ "$1 $2" != 'load docker-image' ]; then exit 64; fi; shift 2; for image; do ${load}; done`,
  );
  return { programs, archiveOf: (image) => join(folder, `${image.replace(':', '-')}.tar`) };
}

const quoted = (words: readonly string[]) => words.map((word) => `'${word}'`).join(' ');

/** Returns the folder of buildah's images, with those that Dockerfiles begin with, and the arguments of a build. */
async function prepare({
  registry,
  folder,
  tags,
}: Surroundings): Promise<{ readonly store: string; readonly build: readonly string[] }> {
  const store = await oncePerRun('buildah', makeStore);
  for (const tag of tags) await buildah(store, 'tag', BASE, `docker.io/library/node:${tag}`);
  mkdirSync(folder, { recursive: true });
  const npmrc = join(folder, 'npmrc');
  writeFileSync(npmrc, `registry=${registry}\nupdate-notifier=false\n`);
  const mounted = `${npmrc}:/usr/local/etc/npmrc:ro`;
  return { store, build: ['bud', '--pull=false', '--layers=false', '--volume', mounted] };
}

const BASE = 'localhost/base';

/** Runs buildah on images that it keeps in a folder. */
async function buildah(folder: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, BUILDAH_ISOLATION: 'chroot' };
  try {
    const { stdout } = await run('buildah', [...storage(folder), ...args], {
      env,
      maxBuffer: 1 << 24,
    });
    return stdout.trim();
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`buildah ${args[0]} failed:\n${stdout}${stderr}`, { cause: error });
  }
}

/** The arguments that name the folder. Other drivers leave mounts behind when a build fails. */
function storage(folder: string): readonly string[] {
  const images = ['--storage-driver', 'vfs', '--root', join(folder, 'images')];
  return [...images, '--runroot', join(folder, 'state')];
}

async function makeStore(folder: string): Promise<string> {
  const root = join(folder, 'base');
  await run('sh', ['-e', '-c', DEBIAN, 'sh', root]);
  const bin = join(root, 'usr/local/bin');
  copyFileSync(process.execPath, join(bin, 'node'));
  copyFileSync(join(dirname(process.execPath), '../LICENSE'), join(root, 'usr/local/LICENSE'));
  await run('npm', ['install', '--global', '--prefix', join(root, 'usr/local'), `npm@${NPM}`]);
  const container = await buildah(folder, 'from', 'scratch');
  await buildah(folder, 'copy', '--quiet', container, root, '/');
  const path = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  await buildah(folder, 'config', '--env', `PATH=${path.join(':')}`, container);
  await buildah(folder, 'commit', '--quiet', '--rm', container, BASE);
  rmSync(root, { recursive: true });
  return folder;
}

/** The npm that comes with the Node of the image. */
const NPM = 11;

/** Copies the packages that every Debian has, as its image for containers does. */
const DEBIAN = `
  required=$(dpkg-query -W -f '\${Package} \${Essential} \${Priority}\n' |
    awk '$2 == "yes" || $3 == "required" { print $1 }')
  all=$(apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances $required | grep -v '^[ <|]' | sort -u)
  mkdir -p "$1"/tmp "$1"/proc "$1"/sys "$1"/dev "$1"/usr/local/bin
  chmod 1777 "$1"/tmp
  for each in bin sbin lib lib64; do
    mkdir -p "$1/usr/$each"
    ln -s "usr/$each" "$1/$each"
  done
  { dpkg -L $all 2> /dev/null || true; } |
    grep -E '^/' | grep -Ev '^/usr/share/(doc|man|locale|info|i18n)/|^/(bin|sbin|lib|lib64|[.])$' |
    sort -u | while IFS= read -r path; do if [ -e "$path" ] || [ -L "$path" ]; then echo "$path"; fi; done |
    sed 's,^/,,' | tar -C / --no-recursion -cf - -T - | tar -C "$1" --keep-directory-symlink -xpf -
  cp "$1"/usr/share/base-passwd/passwd.master "$1"/etc/passwd
  cp "$1"/usr/share/base-passwd/group.master "$1"/etc/group
  ldconfig -r "$1"`;
