import type { Mutant } from './mutants.ts';

const RUNNER = 'src/runs/runner.ts';
const EXECUTE = 'src/runs/execute.ts';
const CLAIM = 'src/state/sql/claim-runs.sql';
const BURY = 'src/state/sql/bury-pods.sql';
const GUARDS = ['test/runs/guards.test.ts'];
const ATTEMPTS = ['test/runs/attempts.test.ts'];
const FAULTS = ['test/runs/faults.test.ts'];
const LARGE = ['test/runs/large-set.test.ts'];
const INNOCENTS = ['test/chaos/innocents.test.ts'];

/** Guards of runs: when an attempt counts, what is loaded, and whose fault a failure is. */
export const RUN_MUTANTS: readonly Mutant[] = [
  {
    name: 'back-off is not waited for',
    file: CLAIM,
    find: "state = 'ready' and wanted and due_at <= now()\n    and (lost",
    replace: "state = 'ready' and wanted\n    and (lost",
    tests: GUARDS,
  },
  {
    name: "a late failure ends another pod's attempt",
    file: 'src/state/sql/fail-run.sql',
    find: 'and key = $2 and token = $3 and state',
    replace: 'and key = $2 and $3::bigint is not null and state',
    tests: GUARDS,
  },
  {
    name: "a late release gives back another pod's run",
    file: 'src/state/sql/release-runs.sql',
    find: "where r.token = mine.token and r.state::text = 'running'",
    replace: "where r.state::text = 'running'",
    tests: GUARDS,
  },
  {
    name: "a late start is recorded for another pod's lease",
    file: 'src/state/sql/record-starts.sql',
    find: "where r.token = mine.token and r.state::text = 'running'",
    replace: "where r.state::text = 'running'",
    tests: GUARDS,
  },
  {
    name: 'a handler goes on when its lease is lost',
    file: RUNNER,
    find: "if (!names.has(name)) running.abort.abort(new LeaseLost('the lease of this run was lost'));",
    replace: 'void names; void name; void running;',
    tests: GUARDS,
  },
  {
    name: 'handlers go on though the lease could not be renewed',
    file: RUNNER,
    find: 'if (now() - this.#heartbeat.renewedAt > this.#options.leaseSeconds * 1000) this.#abortAll();',
    replace: '',
    tests: GUARDS,
  },
  {
    name: 'a pod that lost its row keeps its name',
    file: RUNNER,
    find: '      this.#pod = randomUUID();\n',
    replace: '',
    tests: GUARDS,
  },
  {
    name: 'isDone asks for no token',
    file: 'src/state/runs.ts',
    find: "select state = 'done' and token = $3 as done",
    replace: "select state = 'done' and $3::bigint is not null as done",
    tests: GUARDS,
  },
  {
    name: 'isDone does not wait for a COMMIT under way',
    file: 'src/state/runs.ts',
    find: 'where function = $1 and key = $2 for share`',
    replace: 'where function = $1 and key = $2`',
    tests: GUARDS,
  },
  {
    name: 'a line without fields fails the run',
    file: 'src/log.ts',
    find: '(fields as object | undefined) ?? {}',
    replace: 'fields',
    tests: GUARDS,
  },
  {
    name: 'a run that only waited is charged',
    file: BURY,
    find: 'r.attempt - (r.unstarted is not distinct from r.token)::int as attempt',
    replace: 'r.attempt as attempt',
    tests: ATTEMPTS,
  },
  {
    name: 'every claimed run counts with its lease',
    file: CLAIM,
    find: 'case when numbered.n > $4::int or r.lost > 0 or r.attempt + 1 >= $5::int then',
    replace: 'case when false then',
    tests: ATTEMPTS,
  },
  {
    name: 'a recorded start does not count',
    file: 'src/state/sql/record-starts.sql',
    find: 'set unstarted = 0',
    replace: 'set unstarted = r.token',
    tests: ATTEMPTS,
  },
  {
    name: 'the only attempt counts although it never started',
    file: CLAIM,
    find: '(r.lost = 0 or r.attempt < $5::int or r.unstarted is not distinct from 0)::int',
    replace: '1',
    tests: ATTEMPTS,
  },
  {
    name: 'all runs that were lost more than once are leased together',
    file: CLAIM,
    find: 'lost < 2 or $6::boolean and key = (',
    replace: 'lost < 1000 or $6::boolean and key = (',
    tests: ATTEMPTS,
  },
  {
    name: 'a batch leases a run that was lost more than once',
    file: 'src/state/migrations/001_state.sql',
    find: ' and r.lost < 2 then',
    replace: ' then',
    tests: ATTEMPTS,
  },
  {
    name: 'a run is suspect for ever',
    file: 'src/state/sql/fail-run.sql',
    find: '      lost = 0, -- its process lived\n',
    replace: '',
    tests: ATTEMPTS,
  },
  {
    name: 'long handlers that were leased ahead are not recorded',
    file: RUNNER,
    find: '    await this.#recordLong();\n',
    replace: '',
    tests: ATTEMPTS,
  },
  {
    name: 'rows are loaded for a run that is given up',
    file: 'src/runs/executor.ts',
    find: 'if (run.lease.attempt > backoff.attempts) return [];',
    replace: '',
    tests: ATTEMPTS,
  },
  {
    name: 'a careful run starts without a record',
    file: 'src/runs/prepare.ts',
    find: "if (!(await starts.add(lease))) throw new LeaseLost('the lease of this run was lost');",
    replace: 'void starts; void LeaseLost;',
    tests: ['test/chaos/crash-loop.test.ts'],
  },
  {
    name: 'a set of any size is loaded',
    file: 'src/runs/prepare.ts',
    find: 'if (bytes > maxBytes) throw',
    replace: 'if (bytes > 1000 * maxBytes) throw',
    tests: LARGE,
  },
  {
    name: 'large sets are loaded side by side',
    file: 'src/runs/line.ts',
    find: 'this.#large === 0 ? 0 :',
    replace: 'true ? 0 :',
    tests: LARGE,
  },
  {
    name: 'what is compressed counts as small as it is stored',
    file: 'src/state/sql/load-members.sql',
    find: 'case when pg_column_compression(m.columns) is null then',
    replace: 'case when true then',
    tests: LARGE,
  },
  {
    name: 'sets that load too slowly together are loaded together again',
    file: 'src/runs/loader.ts',
    find: 'if (isTimeout(error) || isBadValue(error)) {',
    replace: 'if (isBadValue(error)) {',
    tests: LARGE,
  },
  {
    name: 'a fault of the database counts as an attempt',
    file: EXECUTE,
    find: 'fault === null ? null : faults.waitAfter(lease, fault)',
    replace: 'null',
    tests: FAULTS,
  },
  {
    name: "any service's lost connection is the database's fault",
    file: EXECUTE,
    find: 'isCutShort(abort.signal) ? null : watched.fault',
    replace: '(watched.note(error), isCutShort(abort.signal) ? null : watched.fault)',
    tests: FAULTS,
  },
  {
    name: 'a handler that cuts its connection is never charged',
    file: 'src/runs/faults.ts',
    find: 'if (met.cuts > FREE_CUTS) return null;',
    replace: '',
    tests: FAULTS,
  },
  {
    name: 'a function at its bound waits for the next look',
    file: RUNNER,
    find: "else if (isBounded) this.#backlog.add([id], 'bound');",
    replace: '',
    tests: ['test/runs/concurrency.test.ts'],
  },
  {
    name: 'a stray error ends the process',
    file: 'src/runs/strays.ts',
    find: 'const owner = owners.getStore() ?? null;',
    replace: 'const owner = null as Owner | null;',
    tests: INNOCENTS,
  },
  {
    name: 'nobody renews the lease of a blocked process',
    file: 'src/runs/heartbeat-thread.ts',
    find: '    await renew();\n',
    replace: '',
    tests: INNOCENTS,
  },
  {
    name: 'a stuck process keeps its lease',
    file: 'src/runs/heartbeat-thread.ts',
    find: 'blockedMs > Number(Atomics.load(clock, STUCK_MS))',
    replace: 'blockedMs > Infinity',
    tests: INNOCENTS,
  },
];
