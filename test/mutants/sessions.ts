import type { Mutant } from './mutants.ts';

const AUTHOR = 'src/state/database/author-query.ts';
const END = ['test/runs/handler-end.test.ts'];
const CHUNKS = ['test/state/projections/chunks.test.ts'];
const SETTINGS = ['test/state/database/settings.test.ts'];
const POOLER = ['test/state/database/pooler.test.ts'];
const FAILED_START = ['test/cli/failed-start.test.ts'];

export const SESSION_MUTANTS: readonly Mutant[] = [
  {
    name: 'session: a handler can send several statements by the simple protocol',
    file: AUTHOR,
    find: "    (query as unknown as { queryMode: string }).queryMode = 'extended';\n",
    replace: '',
    tests: END,
  },
  {
    name: 'session: a comment hides the first word of a statement',
    file: AUTHOR,
    find: "    else if (text.startsWith('/*', at)) at = endOfComment(text, at);\n",
    replace: '',
    tests: END,
  },
  {
    name: 'session: ROLLBACK AND CHAIN is accepted as a rollback to a savepoint',
    file: AUTHOR,
    find: "third : second) !== 'to'",
    replace: "third : second) === 'x'",
    tests: END,
  },
  {
    name: 'session: it is not checked whether the transaction is still open',
    file: AUTHOR,
    find: "client.getTransactionStatus() === 'T' && result.command !== 'COMMIT'",
    replace: 'result !== null',
    tests: END,
  },
  {
    name: 'session: the state that an author leaves behind is not reset',
    file: AUTHOR,
    find: '`${RESET_SESSION} ${settingsAfterReset(client)} ${PREPARED}`',
    replace: '`select; ${PREPARED}`',
    tests: [...END, ...CHUNKS],
  },
  {
    name: 'session: our settings are not applied again',
    file: AUTHOR,
    find: '${settingsAfterReset(client)} ',
    replace: '',
    tests: END,
  },
  {
    name: "session: an author's prepared statements are kept",
    file: AUTHOR,
    find: 'isClean = hasOnlyOwnStatements(client, results.at(-1)!.rows);',
    replace: 'isClean = results.length > 0;',
    tests: END,
  },
  {
    name: 'session: our last statements use the search path of the handler',
    file: 'src/state/database/handler-tx.ts',
    find: '      client.query(ENTER_OWN_PATH),\n',
    replace: '',
    tests: END,
  },
  {
    name: 'session: a refused query that a handler does not await ends the process',
    file: 'src/state/database/handler-tx.ts',
    find: '    answer.catch(() => {});\n',
    replace: '',
    tests: END,
  },
  {
    name: 'session: a refused query that a projection does not await ends the process',
    file: 'src/state/projections/chunk-tx.ts',
    find: '      answer.catch(() => {});\n',
    replace: '',
    tests: CHUNKS,
  },
  {
    name: 'session: a COMMIT that rolls back counts as committed',
    file: 'src/state/database/database.ts',
    find: "if (command !== 'COMMIT') {",
    replace: "if (command === '') {",
    tests: CHUNKS,
  },
  {
    name: 'session: parking uses the search path of the projection',
    file: 'src/state/projections/chunk-tx.ts',
    find: '    if (this.#isAuthorPath) this.#send(ENTER_OWN_PATH);\n',
    replace: '',
    tests: CHUNKS,
  },
  {
    name: 'session: our own statements use the search path of the login',
    file: 'src/state/database/database.ts',
    find: '    ...OWN_PATH,\n    ...PLANS,\n',
    replace: '    ...PLANS,\n',
    tests: SETTINGS,
  },
  {
    name: 'session: dates are read in any style',
    file: 'src/state/database/session.ts',
    find: "  DateStyle: 'ISO',\n",
    replace: '',
    tests: SETTINGS,
  },
  {
    name: 'session: a pooler that shares sessions is not detected',
    file: 'src/state/database/session.ts',
    find: '    await requireOwnSession(client, mark, config);\n',
    replace: '',
    tests: POOLER,
  },
  {
    name: 'session: a session that was not reset is used',
    file: 'src/state/database/session.ts',
    find: "  if (mark !== null && mark !== '') throw sharedSession();\n",
    replace: '',
    tests: POOLER,
  },
  {
    name: 'a claim under a concurrency limit compares its lease with the start of its transaction',
    file: 'src/state/sql/claim-runs.sql',
    find: 'lease_until > statement_timestamp()',
    replace: 'lease_until > now()',
    tests: ['test/runs/concurrency.test.ts'],
  },
  {
    name: 'start: parts that were started before a failure are not stopped',
    file: 'src/process/serve.ts',
    find: '    await withTimeout(service.stop(0), FAILED_START_MS).catch(() => {});\n',
    replace: '',
    tests: FAILED_START,
  },
  {
    name: 'start: an unknown host name ends the process',
    file: 'src/state/database/database.ts',
    find: '|ENOTFOUND|EAI_AGAIN|terminated',
    replace: '|terminated',
    tests: FAILED_START,
  },
  {
    name: 'start: a read-only server ends the process',
    file: 'src/state/database/database.ts',
    find: '(08|25006|53|57)',
    replace: '(08|53|57)',
    tests: FAILED_START,
  },
  {
    name: 'start: a login without its roles ends the process',
    file: 'src/state/wait-until-ready.ts',
    find: '  if (isUngranted(error)) {',
    replace: "  if (isUngranted(error) && error === '') {",
    tests: FAILED_START,
  },
  {
    name: 'session: the last statements of a run execute in the role of the handler',
    file: 'src/state/database/session.ts',
    find: "pg_catalog.set_config('role', null, true), ",
    replace: '',
    tests: ['test/runs/handler-tx.test.ts'],
  },
  {
    name: 'session: the last statements of a run read nulls in arrays as the handler does',
    file: 'src/state/database/session.ts',
    find: ", pg_catalog.set_config('array_nulls', 'on', true)",
    replace: '',
    tests: ['test/runs/handler-tx.test.ts'],
  },
];
