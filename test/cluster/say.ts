import { setTimeout as sleep } from 'node:timers/promises';

let since = performance.now();

/** Restarts the clock of {@link say}. */
export function restartClock(): void {
  since = performance.now();
}

/** Prints a line with the seconds since the scene began. */
export function say(line: string): void {
  const seconds = ((performance.now() - since) / 1000).toFixed(1);
  process.stdout.write(`${seconds.padStart(8)} s  ${line}\n`);
}

/** Waits until the condition holds and logs it; throws after `seconds` with the last state. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds: number,
  stand: () => unknown = () => '',
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await condition())) {
    if (performance.now() > end) {
      throw new Error(`after ${seconds} s still not: ${what} ${JSON.stringify(await stand())}`);
    }
    await sleep(250);
  }
  say(what);
}
