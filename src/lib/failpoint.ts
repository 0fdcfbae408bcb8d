/** Points at which `MUSTER_FAILPOINT` lets a test kill the process, to prove what a crash leaves behind. */
export type Failpoint =
  | 'before-commit'
  | 'after-commit'
  | 'after-claim'
  | 'in-handler'
  | 'before-done'
  | 'before-publish';

const armed = process.env['MUSTER_FAILPOINT'];

/** Kills the process if the test named this point. Costs one comparison otherwise. */
export function failpoint(name: Failpoint): void {
  if (armed === name) process.kill(process.pid, 'SIGKILL');
}
