import type { Mutant } from './mutants.ts';

const TOKEN = 'src/intake/http/token.ts';
const ISSUER = 'src/intake/http/issuer.ts';
const DUE = 'src/state/schema/migrations/002_functions.sql';
const GRANTS = 'src/state/schema/grants.sql';

/** Guards towards Muster's neighbours: senders, readers of the database, and sinks. */
export const NEIGHBOUR_MUTANTS: readonly Mutant[] = [
  {
    name: 'a token for another audience is accepted',
    file: TOKEN,
    find: '        audience,\n',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'any subject may post',
    file: TOKEN,
    find: 'if (subjects !== null && !subjects.includes(claims.sub!))',
    replace: 'if (false)',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'a token chooses its algorithm',
    file: TOKEN,
    find: '        algorithms: ALGORITHMS,\n',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'a token without an expiry is accepted',
    file: TOKEN,
    find: "['exp', 'sub']",
    replace: "['sub']",
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'a verified token never expires',
    file: TOKEN,
    find: 'expiresAt !== undefined && Date.now() < expiresAt',
    replace: 'expiresAt !== undefined',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'an issuer that is down makes a token invalid',
    file: TOKEN,
    find: '      503,\n      `the issuer of tokens does not publish its keys',
    replace: '      401,\n      `the issuer of tokens does not publish its keys',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'the issuer is queried for every unknown key',
    file: ISSUER,
    find: 'if (moment && this.#asking === null) return false;',
    replace: '',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'keys of another issuer are trusted',
    file: ISSUER,
    find: 'if (issuer !== url) throw',
    replace: 'if (false) throw',
    tests: ['test/intake/http/token.test.ts'],
  },
  {
    name: 'KEDA keeps pods for runs that may not start',
    file: DUE,
    find: 'coalesce(f.concurrency, 10000), ',
    replace: '',
    tests: ['test/state/queries/due.test.ts'],
  },
  {
    name: 'KEDA keeps pods for a paused function',
    file: DUE,
    find: ' and not f.paused',
    replace: '',
    tests: ['test/state/queries/due.test.ts'],
  },
  {
    name: 'KEDA stops pods that have running handlers',
    file: DUE,
    find: 'leased.n + waiting.n',
    replace: 'waiting.n',
    tests: ['test/state/queries/due.test.ts'],
  },
  {
    name: 'privileges that are no longer needed are not revoked',
    file: GRANTS,
    find: 'revoke all on all tables in schema muster from public, muster_intake, muster_run, muster_read, muster_keda;\n',
    replace: '',
    tests: ['test/state/schema/roles.test.ts'],
  },
  {
    name: 'tables of the source are granted to handlers',
    file: 'src/state/schema/roles.ts',
    find: "and not exists (select from muster.part where starts_with(specification ->> 'table', $1 || '.'))",
    replace: '',
    tests: ['test/state/schema/roles.test.ts'],
  },
  {
    name: 'events claimed by a dead process are not released',
    file: 'src/state/sql/reap-workers.sql',
    find: '  where o.worker is not null\n',
    replace: '  where false\n',
    tests: ['test/outbox/relay.test.ts'],
  },
  {
    name: 'events claimed by a living process are given to another',
    file: 'src/state/sql/reap-workers.sql',
    find: 'where p.id = o.worker and p.lease_until >= now()',
    replace: 'where false',
    tests: ['test/outbox/relay.test.ts'],
  },
  {
    name: 'a permanently failed run is not reported',
    file: 'src/state/sql/fail-run.sql',
    find: "  where r.state = 'failed'\n",
    replace: '  where false\n',
    tests: ['test/runs/failed.test.ts'],
  },
];
