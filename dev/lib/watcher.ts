import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/**
 * A shell that outlives this process by a moment: it waits until its standard input ends, which
 * happens when this process is gone, also after kill -9, and some seconds later sends the signal,
 * unless the process it watches has ended by itself. Kill it once the process it watches has ended.
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
