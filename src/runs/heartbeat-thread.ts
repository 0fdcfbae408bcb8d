/** The thread of heartbeat.ts: renews the lease of its process while the event loop does not. */
import { writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerLease } from '../state/database/worker-lease.ts';
import { BEAT, now, RENEWED, STUCK_MS, type ThreadData } from './heartbeat.ts';

const { url, leaseSeconds, functions, clock, ...given } = workerData as ThreadData;
const leaseMs = leaseSeconds * 1000;
let worker = given.worker;
let lease = null as WorkerLease | null;
let said: 'kept' | 'stuck' | null = null;

parentPort!.on('message', (name: string) => {
  worker = name;
});

for (;;) {
  await sleep(Math.min(1_000, leaseMs / 10));
  const isOverdue = now() - Number(Atomics.load(clock, RENEWED)) > leaseMs / 2;
  const blockedMs = now() - Number(Atomics.load(clock, BEAT));
  if (!isOverdue) {
    said = null;
  } else if (blockedMs > Number(Atomics.load(clock, STUCK_MS))) {
    say('stuck', `stuck for ${seconds(blockedMs)} s: the leases of this process are given up`);
    await lease?.close();
  } else {
    if (blockedMs > leaseMs / 2) {
      say('kept', `blocked for ${seconds(blockedMs)} s: a thread keeps the leases of this process`);
    }
    await renew();
  }
}

async function renew(): Promise<void> {
  const at = now();
  // the driver is loaded only where a loop is blocked
  lease ??= new (await import('../state/database/worker-lease.ts')).WorkerLease(url, leaseSeconds);
  // That the name is gone, and that the database is away, is for the loop to notice and report.
  const isRenewed = await lease.renew(worker).catch(() => false);
  if (isRenewed) Atomics.store(clock, RENEWED, BigInt(at));
}

/** A line as pino writes it. The thread's own standard error goes by way of the loop that is blocked. */
function say(what: 'kept' | 'stuck', message: string): void {
  if (said === what) return;
  said = what;
  const msg = `the event loop is ${message}`;
  writeSync(2, `${JSON.stringify({ level: 40, time: Date.now(), functions, msg })}\n`);
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
