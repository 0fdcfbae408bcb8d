import { readFileSync, readdirSync } from 'node:fs';

export interface Process {
  readonly pid: number;
  readonly parent: number;
  /** Arguments, joined by spaces; empty for a zombie. */
  readonly command: string;
}

/** Every process of this machine, from /proc: Linux only. */
export function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8');
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return [{ pid: Number(pid), parent: Number(/^PPid:\t(\d+)$/m.exec(status)?.[1]), command }];
      } catch {
        return []; // it has exited
      }
    });
}
