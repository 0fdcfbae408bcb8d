import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until the condition returns a truthy value; throws after `ms` with its last result. */
export async function until<T>(
  condition: () => T | Promise<T>,
  ms = 15_000,
): Promise<NonNullable<T>> {
  const end = performance.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (performance.now() > end) throw new Error(`gave up after ${ms} ms: ${condition.toString()}`);
    await sleep(10);
  }
}
