import type { Mutant } from './mutants.ts';

const RUNNER = 'src/runs/runner.ts';

/** Guards against failures of processes and connections; most tests kill real ones. */
export const PROCESS_MUTANTS: readonly Mutant[] = [
  {
    name: "the done-mark is written outside the handler's transaction",
    file: 'src/runs/committer.ts',
    find: 'tx.commit(finishing(finished))',
    replace: "runs.finish([finished]).then(() => tx.commit([{ text: 'select' }]))",
    tests: ['test/chaos/lost-answer.test.ts'],
  },
  {
    name: 'events go to the outbox although the lease of the run was lost',
    file: 'src/state/sql/finish-runs.sql',
    find: '  join done on done.n = e.n\n',
    replace:
      '  join unnest($1::int[], $2::text[]) with ordinality as done (function, key, n) on done.n = e.n\n',
    tests: ['test/chaos/lease.test.ts'],
  },
  {
    name: 'a COMMIT whose answer was lost counts as failed',
    file: 'src/runs/committer.ts',
    find: 'if (isDone) return attempts.map(() => true);',
    replace: '',
    tests: ['test/chaos/lost-answer.test.ts'],
  },
  {
    name: 'a run whose lease was granted in a lost answer is not started',
    file: RUNNER,
    find: 'if (orphans.length > 0) this.#begin(orphans);',
    replace: '',
    tests: ['test/chaos/lost-answer.test.ts'],
  },
  {
    name: 'a connection that is lost at BEGIN is not released',
    file: 'src/state/database/handler-tx.ts',
    find: '      client.release(true);\n      throw error;',
    replace: '      throw error;',
    tests: ['test/chaos/lost-answer.test.ts'],
  },
  {
    name: 'a BEGIN that fails does not stop the query behind it',
    file: 'src/state/database/framed-query.ts',
    find: "if (begins) sendStatement(connection, 'begin');",
    replace: "if (begins) connection.query('begin');",
    tests: ['test/runs/handler-tx.test.ts'],
  },
  {
    name: 'runs stay queued behind a handler that became slow',
    file: RUNNER,
    find: 'leasesOf(this.#queue.takeLate())',
    replace: '[]',
    tests: ['test/runs/leases.test.ts'],
  },
  {
    name: 'leases are not renewed',
    file: 'src/state/sql/renew-lease.sql',
    find: 'set lease_until = now() + make_interval(secs => $2::float8)',
    replace: 'set lease_until = lease_until + make_interval(secs => $2::float8 * 0)',
    tests: ['test/chaos/lease.test.ts'],
  },
  {
    name: 'a run whose handler kills its process never fails',
    file: 'src/runs/call-handler.ts',
    find: 'if (attempts[0]!.lease.attempt > backoff.attempts) {',
    replace: 'if (attempts[0]!.lease.attempt > 1000 * backoff.attempts) {',
    tests: ['test/chaos/crash-loop.test.ts'],
  },
  {
    name: 'runs that were lost together are retried together',
    file: 'src/state/sql/reap-workers.sql',
    find: 'case when held.attempt > 1 then',
    replace: 'case when held.attempt > 1000 then',
    tests: ['test/chaos/crash-loop.test.ts'],
  },
  {
    name: 'a run released at a shutdown counts its attempt',
    file: 'src/state/sql/release-runs.sql',
    find: 'set token = s.token + 1, lost',
    replace: 'set token = s.token + 1, attempt = s.attempt + 1, lost',
    tests: ['test/chaos/stop.test.ts'],
  },
  {
    name: 'running handlers are aborted at SIGTERM',
    file: 'src/process/engine.ts',
    find: 'runner.drain(drainMs)',
    replace: 'runner.drain(0)',
    tests: ['test/chaos/stop.test.ts'],
  },
  {
    name: 'new events are accepted while the process stops',
    file: 'src/process/engine.ts',
    find: "  close(new Unavailable('draining', 'this process is stopping'));\n",
    replace: '',
    tests: ['test/chaos/stop.test.ts'],
  },
];
