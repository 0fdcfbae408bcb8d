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

/**
 * Builds the Dockerfile of a folder, in which npm uses a registry, and unpacks the image into another folder. The
 * images that it may begin with are `node` with these tags.
 */
export async function buildImage(
  context: string,
  { registry, folder, tags }: { registry: string; folder: string; tags: readonly string[] },
): Promise<UnpackedImage> {
  const store = await oncePerRun('buildah', makeStore);
  for (const tag of tags) await buildah(store, 'tag', BASE, `docker.io/library/node:${tag}`);
  mkdirSync(folder, { recursive: true });
  const npmrc = join(folder, 'npmrc');
  writeFileSync(npmrc, `registry=${registry}\nupdate-notifier=false\n`);
  const image = `localhost/built-${randomUUID()}`;
  const settings = ['--volume', `${npmrc}:/usr/local/etc/npmrc:ro`, '--tag', image];
  await buildah(store, 'bud', '--pull=false', '--layers=false', ...settings, context);
  const archive = join(folder, 'image.tar');
  await buildah(store, 'push', '--quiet', image, `docker-archive:${archive}`);
  const unpacked = unpackImage(archive, join(folder, 'unpacked'));
  rmSync(archive);
  return unpacked;
}

const BASE = 'localhost/base';

/** Runs buildah on images that it keeps in a folder. */
async function buildah(folder: string, ...args: readonly string[]): Promise<string> {
  // other drivers leave mounts behind when a build fails
  const store = ['--storage-driver', 'vfs', '--root', join(folder, 'images')];
  const options = ['--runroot', join(folder, 'state')];
  const env = { ...process.env, BUILDAH_ISOLATION: 'chroot' };
  try {
    const { stdout } = await run('buildah', [...store, ...options, ...args], {
      env,
      maxBuffer: 1 << 24,
    });
    return stdout.trim();
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`buildah ${args[0]} failed:\n${stdout}${stderr}`, { cause: error });
  }
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
