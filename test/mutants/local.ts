import type { Mutant } from './mutants.ts';

const FOLLOWER = ['test/local/source-follower.test.ts'];
const GENERATED = ['test/manifests/generated.test.ts'];
const ENVIRONMENT = ['test/local/environment.test.ts'];
const SEND = ['test/console/send.test.ts'];
const USAGE = ['test/cli/usage.test.ts'];

/** Guards of what runs on a developer's machine, and of what it writes for a cluster. */
export const LOCAL_MUTANTS: readonly Mutant[] = [
  {
    name: 'local: a table is published whose application can not update it any more',
    file: 'src/local/debezium/source-table.ts',
    find: '  if (anonymous) {\n',
    replace: '  if (anonymous && name === "") {\n',
    tests: FOLLOWER,
  },
  {
    name: "local: a slot is left in somebody else's database",
    file: 'src/local/dev-server/source-follower.ts',
    find: 'const isDropped = await this.#drop().catch(() => false);',
    replace: 'const isDropped = true;',
    tests: FOLLOWER,
  },
  {
    name: 'local: the slot of an earlier run is not named',
    file: 'src/local/debezium/slot.ts',
    find: 'return rows.map(({ name }) => name);',
    replace: 'return rows.slice(rows.length).map(({ name }) => name);',
    tests: FOLLOWER,
  },
  {
    name: 'local: a change that the functions did not accept is not sent again',
    file: 'src/local/dev-server/source-follower.ts',
    find: '        if (status >= 200 && status < 300) return;\n',
    replace: '        if (status > 0) return;\n',
    tests: FOLLOWER,
  },
  {
    name: 'local: a stop waits for the other transactions of the source',
    file: 'src/local/dev-server/source-follower.ts',
    find: 'await Promise.race([this.#running, sleep(RETRY_MS)]);',
    replace: 'await this.#running;',
    tests: FOLLOWER,
  },
  {
    name: 'local: dev reads the topics that the shell names for production',
    file: 'src/local/dev-server/environment.ts',
    find: "INTAKE: kafka === null ? 'http' : 'kafka',",
    replace: "...(kafka !== null && { INTAKE: 'kafka' }),",
    tests: ENVIRONMENT,
  },
  {
    name: 'local: dev joins the consumer group that the shell names',
    file: 'src/local/dev-server/environment.ts',
    find: "    KAFKA_GROUP: '',\n",
    replace: '',
    tests: ENVIRONMENT,
  },
  {
    name: 'local: dev joins the consumer groups of production',
    file: 'src/local/dev-server/environment.ts',
    find: '    KAFKA_GROUP_PREFIX: groupPrefix,\n',
    replace: '',
    tests: ENVIRONMENT,
  },
  {
    name: 'local: all databases of a server have the same consumer groups',
    file: 'src/local/dev-server/database.ts',
    find: "concat_ws('/', system_identifier, oid)",
    replace: "concat_ws('/', system_identifier)",
    tests: ENVIRONMENT,
  },
  {
    name: 'local: a row may come from Kafka and from its table',
    file: 'src/cli/dev.ts',
    find: 'kafka !== undefined && source !== undefined',
    replace: 'kafka !== undefined && source === ""',
    tests: USAGE,
  },
  {
    name: 'local: a page of another site can send an event',
    file: 'src/console/send/send-page.ts',
    find: '          body: SendRequest,\n',
    replace: '',
    tests: SEND,
  },
  {
    name: 'local: a message that is no JSON is lost from the form',
    file: 'src/console/send/page/page.ts',
    find: "if (body.outcome === 'ingested' && raiseLsn(text)) edited();",
    replace:
      "if (body.outcome === 'ingested' ? raiseLsn(text) : (text.value = '') === '') edited();",
    tests: SEND,
  },
  {
    name: 'local: another choice loses the edited message',
    file: 'src/console/send/page/page.ts',
    find: '  drafts.set(chosen, text.value);\n',
    replace: '',
    tests: SEND,
  },
  {
    name: 'local: the next message of the form is no later change',
    file: 'src/console/send/page/raise-lsn.ts',
    find: 'text.setRangeText(String(lsn + 1), start',
    replace: 'text.setRangeText(String(lsn), start',
    tests: SEND,
  },
  {
    name: 'local: a tag and a digest of an image are confused',
    file: 'src/manifests/manifests.ts',
    find: '(?:@(sha256:\\w+))?$/',
    replace: '(?:@(sha512:\\w+))?$/',
    tests: GENERATED,
  },
  {
    name: "local: manifests change the labels of somebody else's namespace",
    file: 'src/manifests/manifests.ts',
    find: '...(options.namespace === OWN.namespace && {',
    replace: '...(options.namespace !== "" && {',
    tests: GENERATED,
  },
  {
    name: 'local: everybody may post to pods that read the topics themselves',
    file: 'src/manifests/manifests.ts',
    find: "'  ingress: []\\n'",
    replace: "'  ingress: [{}]\\n'",
    tests: GENERATED,
  },
  {
    name: 'local: an image is written as if it were for another platform',
    file: 'src/build/base.ts',
    find: 'if (platform === own) return;',
    replace: 'return;',
    tests: ['test/build/platform.test.ts'],
  },
  {
    name: 'local: pods are to drain for longer than they may',
    file: 'src/manifests/manifests.ts',
    find: 'Math.min(seconds, MAX_DRAIN_SECONDS)',
    replace: 'seconds',
    tests: GENERATED,
  },
  {
    name: 'local: two files may define a function',
    file: 'src/definitions/function-files.ts',
    find: '    if (found.length > 1) {\n',
    replace: '    if (found.length > 2) {\n',
    tests: ['test/definitions/function-files.test.ts'],
  },
  {
    name: 'local: a process serves no function without a word',
    file: 'src/config/config.ts',
    find: '  if (FUNCTIONS.length > 0) return;\n',
    replace: '  if (FUNCTIONS.length >= 0) return;\n',
    tests: ['test/definitions/function-files.test.ts'],
  },
];
