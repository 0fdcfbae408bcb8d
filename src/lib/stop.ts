/**
 * Resolves with the reason when the process is asked to stop: by SIGTERM or SIGINT (which have no default
 * action for PID 1), or by the end of standard input if `withStdin`.
 *
 * close-with-grace is not used: a stop can also come from the end of standard input, callers race it against their
 * start, and how long a drain may take is theirs to bound.
 */
export function stopRequested(withStdin: boolean): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
    if (withStdin) process.stdin.resume().once('end', () => resolve('standard input ended'));
  });
}
