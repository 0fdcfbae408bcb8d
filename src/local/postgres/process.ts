import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server running on a data folder. */
export interface Running {
  readonly pid: number;
  readonly port: number;
}

/**
 * Returns the server running on this data folder, according to its `postmaster.pid`. The pid in it proves
 * nothing: after a crash another process may have it, so the process is checked too.
 */
export function findRunning(data: string): Running | undefined {
  const lines = readPidFile(data);
  const running = { pid: Number(lines[0]), port: Number(lines[3]) };
  return isServerOf(running.pid, data) ? running : undefined;
}

/** Whether this process is a PostgreSQL server on this data folder. False for a zombie. */
export function isServerOf(pid: number, data: string): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    return process.platform === 'linux' ? isServerInProc(pid, data) : isServerInPs(pid, data);
  } catch {
    return false; // the process doesn't exist
  }
}

function isServerInProc(pid: number, data: string): boolean {
  const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return basename(program) === 'postgres' && args[args.indexOf('-D') + 1] === data;
}

/** Compares the whole text, because `ps` joins the arguments by spaces, which a path can contain too. */
function isServerInPs(pid: number, data: string): boolean {
  const command = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], {
    encoding: 'utf8',
  });
  return `/${command.trimEnd()} `.includes(`/postgres -D ${data} `);
}

/**
 * Replaces a stale pid in `postmaster.pid`. PostgreSQL refuses to start while a process with that pid is
 * alive. If another process has the pid now, the file gets the pid of this process instead, because a
 * server ignores its own parent. Removing the file would also remove the guard against leftover backends.
 */
export function disownPidFile(data: string): void {
  const [pid, ...rest] = readPidFile(data);
  if (pid === undefined || findRunning(data)) return;
  writeFileSync(join(data, 'postmaster.pid'), [process.pid, ...rest].join('\n'));
}

/** Stops the server: disconnects its clients, then writes a checkpoint; kills it after `patience` ms. */
export async function stopServer(pid: number, data: string, patience = 10_000): Promise<void> {
  const since = Date.now();
  for (let signal: NodeJS.Signals | 0 = 'SIGINT'; isServerOf(pid, data); await sleep(10)) {
    if (signal !== 0) process.kill(pid, signal);
    signal = Date.now() - since > patience ? 'SIGQUIT' : 0;
  }
}

function readPidFile(data: string): string[] {
  try {
    return readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return [];
  }
}
