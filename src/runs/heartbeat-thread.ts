/** The thread of heartbeat.ts: renews the lease of its process while the event loop is blocked. */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerLease } from '../state/database/worker-lease.ts';
import { BEAT, now, RENEWED, STUCK_MS, type ThreadData } from './heartbeat.ts';

const { url, leaseSeconds, functions, clock, ...initial } = workerData as ThreadData;
const leaseMs = leaseSeconds * 1000;
let worker = initial.worker;
let lease = null as WorkerLease | null;
let reported: 'kept' | 'stuck' | null = null;

parentPort!.on('message', (id: string) => {
  worker = id;
});

for (;;) {
  await sleep(Math.min(1_000, leaseMs / 10));
  const isOverdue = now() - Number(Atomics.load(clock, RENEWED)) > leaseMs / 2;
  const blockedMs = now() - Number(Atomics.load(clock, BEAT));
  if (!isOverdue) {
    reported = null;
  } else if (blockedMs > Number(Atomics.load(clock, STUCK_MS))) {
    report(
      'stuck',
      `stuck for ${seconds(blockedMs)} s: the leases of this process are no longer renewed`,
    );
    await lease?.close();
  } else {
    if (blockedMs > leaseMs / 2) {
      report(
        'kept',
        `blocked for ${seconds(blockedMs)} s: a thread renews the leases of this process`,
      );
    }
    await renew();
  }
}

async function renew(): Promise<void> {
  const at = now();
  // the driver is loaded only if the loop is blocked
  lease ??= new (await import('../state/database/worker-lease.ts')).WorkerLease(url, leaseSeconds);
  // A lost lease, or a database that does not answer, is detected and reported by the event loop.
  const isRenewed = await lease.renew(worker).catch(() => false);
  if (isRenewed) Atomics.store(clock, RENEWED, BigInt(at));
}

/**
 * Writes a line in pino's format, once per state. It writes to the file descriptor, because the thread's
 * standard error stream passes through the blocked event loop.
 */
function report(state: 'kept' | 'stuck', message: string): void {
  if (reported === state) return;
  reported = state;
  const msg = `the event loop is ${message}`;
  writeSync(2, `${JSON.stringify({ level: 40, time: Date.now(), functions, msg })}\n`);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
