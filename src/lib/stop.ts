/**
 * Resolves with the reason when the process is asked to stop: by SIGTERM or SIGINT (which have no default
 * action for PID 1), or by the end of standard input if `withStdin`.
 */
export function stopRequested(withStdin: boolean): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
    if (withStdin) process.stdin.resume().once('end', () => resolve('standard input ended'));
  });
}
