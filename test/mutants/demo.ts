import type { Mutant } from './mutants.ts';

const FUNCTION_PROCESS = ['test/dev/function-process.test.ts'];
const FORWARD = ['test/dev/forward.test.ts'];
const PIPELINE = ['test/dev/direct-pipeline.test.ts'];

/** Guards of the demo: which answers it accepts, what it waits for, and which processes it considers its own. */
export const DEMO_MUTANTS: readonly Mutant[] = [
  {
    name: 'demo: any process that answers on the port passes for the started one',
    file: 'src/local/readiness.ts',
    find: "if (answer.headers.get('muster-instance') === this.#instance) return",
    replace: 'return',
    tests: FUNCTION_PROCESS,
  },
  {
    name: 'demo: a function starts on a port that is in use',
    file: 'dev/demo/function-process.ts',
    find: '    await requireFreePort(options.port);\n',
    replace: '',
    tests: FUNCTION_PROCESS,
  },
  {
    name: 'demo: events are sent while the function restarts',
    file: 'dev/demo/forward.ts',
    find: '        await unlessAborted(ready(), signal);\n',
    replace: '',
    tests: FUNCTION_PROCESS,
  },
  {
    name: 'demo: a stop waits for a function that never becomes ready',
    file: 'dev/demo/forward.ts',
    find: '        await unlessAborted(ready(), signal);\n',
    replace: '        await ready();\n',
    tests: FORWARD,
  },
  {
    name: 'demo: more requests are in flight than the maximum',
    file: 'dev/demo/forward.ts',
    find: '    await this.#room.enter();\n',
    replace: '',
    tests: FORWARD,
  },
  {
    name: 'demo: a start waits for a source that can not be read',
    file: 'dev/demo/direct-pipeline.ts',
    find: 'else this.#started.reject(new Error(why));',
    replace: "else if (why === '') this.#started.reject(new Error(why));",
    tests: PIPELINE,
  },
  {
    name: 'demo: a position is reached before the changes below it are answered',
    file: 'dev/demo/direct-pipeline.ts',
    find: "'select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn >= $2',",
    replace:
      "'select from pg_replication_slots where slot_name = $1 and confirmed_flush_lsn <= $2',",
    tests: PIPELINE,
  },
  {
    name: 'demo: the demo starts on a port that is in use',
    file: 'dev/demo/demo.ts',
    find: '    if (port !== undefined) await requireFreePort(port);\n',
    replace: '',
    tests: ['test/dev/demo.test.ts'],
  },
  {
    name: "demo: a server's command line is split at spaces",
    file: 'src/local/postgres/process.ts',
    find: "readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\\0');",
    replace: "readFileSync(`/proc/${pid}/cmdline`, 'utf8').split(/[ \\0]/);",
    tests: ['test/local/postgres.test.ts'],
  },
  {
    name: 'demo: a PostgreSQL server with other data passes for the started one',
    file: 'src/local/postgres/postgres.ts',
    find: "      await requireData(client, join(home.folder, 'data'));\n",
    replace: '',
    tests: ['test/local/postgres.test.ts'],
  },
];
