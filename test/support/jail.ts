import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { layersOf, START } from '../../src/build/image.ts';

/** Why commands can't be run in a separate root on this machine; null if they can. */
export function jailProblem(): string | null {
  if (process.platform !== 'linux') return 'it needs Linux';
  if (process.getuid?.() !== 0) return 'only root can change the root';
  const { status } = spawnSync('unshare', ['--mount', '--pid', '--fork', 'mount', '--version']);
  return status === 0 ? null : "unshare can't create namespaces here";
}

const ENTER = `
  mount --make-rprivate / && mount --bind "$1" "$1" && mount --bind "$2" "$1/app" &&
  mount -o remount,bind,ro "$1/app" && mount -o remount,bind,ro "$1" || exit 125
  shift 2; exec env -i "$@"`;

/**
 * Starts a command in the image whose layers are in this folder, as a container would: as PID 1, on a
 * read-only root, with the environment of the image plus the given one.
 */
export function startIn(
  image: string,
  uid: number,
  env: readonly string[],
  command: readonly string[],
): ChildProcess {
  const [base, app] = layersOf(image).map(({ folder }) => folder) as [string, string];
  const isolated = ['--mount', '--pid', '--fork', '--kill-child'];
  const chroot = ['/usr/sbin/chroot', `--userspec=${uid}:0`, '--groups=', base];
  const rest = [base, app, ...START.Env, ...env, ...chroot, ...command];
  return spawn('unshare', [...isolated, 'sh', '-c', ENTER, 'sh', ...rest]);
}

/** Returns the process that is PID 1 in the container. */
export function firstOf({ pid }: ChildProcess): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
}

/** Returns how a process exited, and its output. */
export async function ended(
  child: ChildProcess,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const said = { stdout: '', stderr: '' };
  child.stdout!.on('data', (chunk) => (said.stdout += chunk));
  child.stderr!.on('data', (chunk) => (said.stderr += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, ...said };
}
