import type { Mutant } from './mutants.ts';

const SINK = 'src/publish/sink.ts';
const OUTBOX = 'src/runs/outbox.ts';
const PUBLISHING = 'src/runs/publishing.ts';
const RUN_ID = 'src/runs/run-id.ts';
const CLAIM = 'src/state/sql/claim-outbox.sql';
const SETTLE = 'src/state/sql/settle-outbox.sql';
const DISCARD = 'src/state/sql/discard-events.sql';
const SINK_TEST = ['test/publish/sink.test.ts'];
const OUTBOX_TEST = ['test/runs/outbox.test.ts'];
const PUBLISHING_TEST = ['test/runs/publishing.test.ts'];
const EVENTS_TEST = ['test/cli/events.test.ts'];

/** Guards on the way of an event that goes out. */
export const OUTGOING_MUTANTS: readonly Mutant[] = [
  {
    name: 'attributes that no header can hold are sent as headers',
    file: SINK,
    find: 'const isPlain = Object',
    replace: 'const isPlain = true || Object',
    tests: SINK_TEST,
  },
  {
    name: 'a percent sign is plain',
    file: SINK,
    find: '/^[!#$&-~]{1,1024}$/',
    replace: '/^[!#-~]{1,1024}$/',
    tests: SINK_TEST,
  },
  {
    name: 'an attribute of any length goes into a header',
    file: SINK,
    find: '{1,1024}$/',
    replace: '+$/',
    tests: SINK_TEST,
  },
  {
    name: 'an empty subject is sent',
    file: SINK,
    find: "...(event.subject !== '' && { subject: event.subject }),",
    replace: 'subject: event.subject,',
    tests: SINK_TEST,
  },
  {
    name: 'an event without data says that it is JSON',
    file: SINK,
    find: 'outgoing.data === null ? headers : {',
    replace: 'false ? headers : {',
    tests: SINK_TEST,
  },
  {
    name: 'redirects are followed',
    file: SINK,
    find: "redirect: 'manual'",
    replace: "redirect: 'follow'",
    tests: SINK_TEST,
  },
  {
    name: 'an answer that an operator can change is final',
    file: SINK,
    find: "return REFUSED.has(status) ? 'refused' : 'blocked';",
    replace: "return 'refused';",
    tests: OUTBOX_TEST,
  },
  {
    name: 'an event that is wrong for good is tried for ever',
    file: SINK,
    find: "return REFUSED.has(status) ? 'refused' : 'blocked';",
    replace: "return 'blocked';",
    tests: OUTBOX_TEST,
  },
  {
    name: 'extensions take the place of attributes',
    file: 'src/setting.ts',
    find: '    if (TAKEN.has(name)) throw new Wrong(`${what} is an attribute that Muster sets itself`);\n',
    replace: '',
    tests: ['test/config.test.ts'],
  },
  {
    name: 'extensions hold control characters',
    file: 'src/setting.ts',
    find: '|| !TEXT.test(each) ',
    replace: '',
    tests: ['test/config.test.ts'],
  },
  {
    name: 'ids hold the key as it is',
    file: RUN_ID,
    find: '${fn}/${headerSafe(key)}/',
    replace: '${fn}/${key}/',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'two keys share an id',
    file: RUN_ID,
    find: '/[^ -}]/gu',
    replace: '/[^ -~]/gu',
    tests: ['test/runs/run-id.test.ts'],
  },
  {
    name: 'the report of a failed run has the key in its id',
    file: 'src/state/sql/fail-run.sql',
    find: 'muster.header_safe(r.key)',
    replace: 'r.key',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'the report of an overdue set has the key in its id',
    file: 'src/state/sql/fire-deadlines.sql',
    find: 'muster.header_safe(key)',
    replace: 'key',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'a slow event keeps its place in the window',
    file: OUTBOX,
    find: "      taken.state = 'slow';\n",
    replace: '',
    tests: OUTBOX_TEST,
  },
  {
    name: 'a type that hangs takes every place',
    file: OUTBOX,
    find: 'return same >= MAX_SLOW_OF_TYPE;',
    replace: 'return false;',
    tests: OUTBOX_TEST,
  },
  {
    name: 'the window has no end',
    file: OUTBOX,
    find: 'Math.min(WINDOW - fresh, ',
    replace: 'Math.min(2 * WINDOW, ',
    tests: OUTBOX_TEST,
  },
  {
    name: 'any amount of data is in flight',
    file: OUTBOX,
    find: 'length > MAX_LENGTH ? 0 : ',
    replace: '',
    tests: OUTBOX_TEST,
  },
  {
    name: 'an event in flight is sent beside itself',
    file: OUTBOX,
    find: '    if (this.#taken.has(event.id)) return;\n',
    replace: '',
    tests: OUTBOX_TEST,
  },
  {
    name: 'what was sent is forgotten when the database goes away',
    file: OUTBOX,
    find: '      this.#unsettled = [...settlements, ...this.#unsettled];\n',
    replace: '',
    tests: OUTBOX_TEST,
  },
  {
    name: 'a stop does not settle what was answered',
    file: OUTBOX,
    find: '    clearTimeout(hurrying);\n    await this.#settle();\n',
    replace: '    clearTimeout(hurrying);\n',
    tests: OUTBOX_TEST,
  },
  {
    name: 'a postponed event has made an attempt',
    file: SETTLE,
    find: "attempts = o.attempts - (v.verdict = 'postponed')::int",
    replace: 'attempts = o.attempts',
    tests: OUTBOX_TEST,
  },
  {
    name: 'the sent event is overwritten by a slower process',
    file: SETTLE,
    find: ' and o.sent_at is null\n  returning',
    replace: '\n  returning',
    tests: OUTBOX_TEST,
  },
  {
    name: 'the next event of a set waits although the one before is settled',
    file: SETTLE,
    find: "where settled.verdict in ('sent', 'failed') and o.id = next.id",
    replace: 'where false and o.id = next.id',
    tests: OUTBOX_TEST,
  },
  {
    name: 'an event is woken behind one that is tried again',
    file: SETTLE,
    find: "where settled.verdict in ('sent', 'failed') and ",
    replace: 'where ',
    tests: OUTBOX_TEST,
  },
  {
    name: 'an event overtakes those before it in its set',
    file: CLAIM,
    find: 'where o.id = judged.id and judged.id = judged.head and judged.nth',
    replace: 'where o.id = judged.id and judged.nth',
    tests: OUTBOX_TEST,
  },
  {
    name: 'events behind one that is not sent stay due',
    file: CLAIM,
    find: 'where o.id = judged.id and judged.id <> judged.head',
    replace: 'where false and o.id = judged.id',
    tests: OUTBOX_TEST,
  },
  {
    name: 'events are printed, and count as sent, where no sink is set',
    file: 'src/publish/open.ts',
    find: "config.SINK === 'stdout' ? stdoutSink(extensions) : null",
    replace: 'stdoutSink(extensions)',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'KEDA keeps a pod for events that no pod can send',
    file: 'src/state/migrations/002_due.sql',
    find: 'coalesce(f.sink_missing_until <= now(), true)',
    replace: 'true',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'nobody is woken to see whether there is a sink by now',
    file: 'src/state/migrations/002_due.sql',
    find: 'coalesce(f.sink_missing_until <= now(), true)',
    replace: '(f.sink_missing_until is null)',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'a sink that is there is still missing',
    file: PUBLISHING,
    find: '      if (!isTold) await setSinkMissing(database, idsOf(served), null);\n',
    replace: '',
    tests: PUBLISHING_TEST,
  },
  {
    name: 'a sent event is discarded',
    file: DISCARD,
    find: 'where o.id = chosen.id and o.sent_at is null',
    replace: 'where o.id = chosen.id',
    tests: EVENTS_TEST,
  },
  {
    name: 'the event behind a discarded one waits',
    file: DISCARD,
    find: 'where o.id = next.id and o.pod is null',
    replace: 'where false',
    tests: EVENTS_TEST,
  },
  {
    name: 'waiting events are discarded with the refused',
    file: DISCARD,
    find: 'where o.function = $1 and o.failed_at is not null',
    replace: 'where o.function = $1',
    tests: EVENTS_TEST,
  },
  {
    name: 'runFunction waits for an event that cannot be published',
    file: 'src/testing.ts',
    find: '                    and o.sent_at is null and o.failed_at is null\n',
    replace: '                    and o.sent_at is null\n',
    tests: ['test/testing.test.ts'],
  },
];
