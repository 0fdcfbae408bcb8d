import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/**
 * Starts a shell that outlives this process by a moment: it waits until its standard input is closed,
 * which happens when this process exits, even by kill -9, and some seconds later sends the signal unless
 * the watched process has exited. Kill it once the watched process has exited.
 */
export function watchOver(
  pid: number,
  signal: 'INT' | 'KILL',
  seconds: number,
  user: Pick<SpawnOptions, 'uid' | 'gid'> = {},
): ChildProcess {
  const script =
    'read -r _; for _ in $(seq "$3"); do kill -0 "$1" || exit; sleep 1; done; kill -"$2" "$1"';
  const watcher = spawn('sh', ['-c', script, 'watcher', `${pid}`, signal, `${seconds}`], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    ...user,
  });
  watcher.unref();
  return watcher;
}
