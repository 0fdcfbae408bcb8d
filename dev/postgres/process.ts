import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A server that runs on a data folder. */
export interface Running {
  readonly pid: number;
  readonly port: number;
}

/**
 * The server that runs on this data folder, going by its `postmaster.pid`. The number there proves
 * nothing: after a crash it may belong to any other process by now, so the process is asked too.
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
    return false; // there is no such process
  }
}

function isServerInProc(pid: number, data: string): boolean {
  const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  return basename(program) === 'postgres' && args[args.indexOf('-D') + 1] === data;
}

/** `ps` joins the arguments by spaces, which a path may hold too: only the whole text can be compared. */
function isServerInPs(pid: number, data: string): boolean {
  const command = execFileSync('ps', ['-ww', '-o', 'args=', '-p', String(pid)], {
    encoding: 'utf8',
  });
  return `/${command.trimEnd()} `.includes(`/postgres -D ${data} `);
}

/**
 * PostgreSQL refuses to start while the process named in `postmaster.pid` is alive, whoever it is.
 * Where the number was taken over by another process it gets ours instead: a server takes its own
 * parent for no rival. Removing the file would also take away what guards against left-over backends.
 */
export function disownPidFile(data: string): void {
  const [pid, ...rest] = readPidFile(data);
  if (pid === undefined || findRunning(data)) return;
  writeFileSync(join(data, 'postmaster.pid'), [process.pid, ...rest].join('\n'));
}

/** Ends the server: its clients are cut off, then it writes a checkpoint; at once after `patience` ms. */
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
