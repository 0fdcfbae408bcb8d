import { readdirSync, readFileSync } from 'node:fs';

/** `getconf CLK_TCK`, which is 100 on every Linux. */
const TICK_US = 10_000;

/** CPU time of a process in microseconds; 0 without /proc, and for a process that has exited. */
export function cpuOf(pid: number): number {
  const stat = statOf(pid);
  return stat === null ? 0 : stat.own;
}

/** CPU time of PostgreSQL in microseconds: its processes, and exited children counted by the first. */
export function cpuOfPostgres(pid: number): number {
  const first = () => statOf(pid)?.withEnded ?? 0;
  for (;;) {
    const before = first();
    let sum = before;
    for (const name of procs()) {
      const stat = statOf(Number(name));
      if (stat?.parent === pid) sum += stat.own;
    }
    if (first() === before) return sum; // otherwise one may have exited in between, and be counted in neither
  }
}

function procs(): string[] {
  try {
    return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function statOf(pid: number): { parent: number; own: number; withEnded: number } | null {
  try {
    // The second field is the name in parentheses, which can contain any character.
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const own = (fields[11]! + fields[12]!) * TICK_US;
    return { parent: fields[1]!, own, withEnded: own + (fields[13]! + fields[14]!) * TICK_US };
  } catch {
    return null;
  }
}
