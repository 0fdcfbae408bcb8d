/**
 * Places at which a test may kill the process, named in `MUSTER_FAILPOINT`. A promise about crashes
 * is worth the places it was tried at. Costs one comparison where none is set.
 */
export type Failpoint =
  | 'before-commit'
  | 'after-commit'
  | 'after-claim'
  | 'in-handler'
  | 'before-done'
  | 'before-publish';

const armed = process.env['MUSTER_FAILPOINT'];

export function failpoint(name: Failpoint): void {
  if (armed === name) process.kill(process.pid, 'SIGKILL');
}
