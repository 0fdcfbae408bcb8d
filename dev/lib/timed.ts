/** Logs how long it took until something was up. */
export async function timed<T>(
  say: (line: string) => void,
  what: string,
  starting: Promise<T>,
): Promise<T> {
  const since = Date.now();
  const started = await starting;
  say(`${what} is up (${((Date.now() - since) / 1000).toFixed(1)} s)`);
  return started;
}
