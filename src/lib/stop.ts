/**
 * Resolves with the reason when the process is told to stop: SIGTERM or SIGINT (as PID 1 nothing else
 * handles them), or the end of standard input where a parent asked for that.
 */
export function stopRequested(withStdin: boolean): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
    if (withStdin) process.stdin.resume().once('end', () => resolve('standard input ended'));
  });
}
