/** Work that rests in the state database until a person does something about it. */
import type { StateContext } from './database.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { unreadPartitions } from './positions.ts';
import { duration, plural } from '../words.ts';

/** A pod looks for due work each second; what is due so long is seen by none. */
const UNSEEN_SECONDS = 60;

export const paused: Check<StateContext> = {
  id: 'database.paused',
  title: 'paused functions',
  async run({ inspector }) {
    const rows = await inspector.query<{ name: string }>(
      'select name from muster.function where paused order by name',
    );
    return orNone(
      rows.map(({ name }) => problem(`${name} starts no runs`, `muster resume ${name}`)),
    );
  },
};

interface Parked {
  readonly reason: string;
  readonly count: number;
  readonly seconds: number;
  readonly detail: string;
}

export const parked: Check<StateContext> = {
  id: 'database.parked',
  title: 'parked events',
  async run({ inspector }) {
    const rows = await inspector.query<Parked>(
      `select reason, count(*)::int as count, (array_agg(detail order by id desc))[1] as detail,
              extract(epoch from now() - min(parked_at))::float8 as seconds
       from muster.parked group by reason order by reason`,
    );
    return orNone(
      rows.map((row) =>
        problem(
          `${plural(row.count, 'event')}: ${row.reason}, since ${duration(row.seconds)}; the last: ${row.detail}`,
          mend(row),
        ),
      ),
    );
  },
};

/** What has to be done before the events are taken. */
function mend({ reason, detail }: Parked): string {
  const redeliver = `muster redeliver --reason ${reason}`;
  switch (reason) {
    case 'position-restarted':
      return `${/muster epoch bump \S+/.exec(detail)?.[0] ?? 'muster epoch bump <source>'} && ${redeliver}`;
    case 'unavailable-column':
      return `muster doctor --source <url>   # names the statements under "replica identity"; then let the rows be sent again, and: ${redeliver}`;
    case 'unsupported-source':
      return 'kubectl get kafkasource -A   # take the topics of the other database out of spec.topics';
    default:
      return `muster parked   # to see them; once their cause is mended: ${redeliver}`;
  }
}

export const failed: Check<StateContext> = {
  id: 'database.failed',
  title: 'failed runs',
  async run({ inspector }) {
    const rows = await inspector.query<{ name: string; count: number; error: string | null }>(
      `select f.name, count(*)::int as count, (array_agg(r.error order by r.finished_at desc))[1] as error
       from muster.run r join muster.function f on f.id = r.function
       where r.state = 'failed' and r.complete group by f.name order by f.name`,
    );
    return orNone(
      rows.map(({ name, count, error }) =>
        problem(
          `${plural(count, 'run')} of ${name} gave up; the last: ${error?.split('\n')[0] ?? 'no error is kept'}`,
          `muster sets ${name} --failed   # to see them; once their cause is mended: muster retry ${name} --all`,
        ),
      ),
    );
  },
};

interface Unsent {
  readonly name: string;
  readonly refused: number;
  /** The sink was tried, and did not take them. */
  readonly late: number;
  /** Not sent, tried or not. */
  readonly waiting: number;
  /** No process that has a sink has been there since one that has none. */
  readonly missing: boolean;
  /** Of the last refused, and of the last that the sink did not take. */
  readonly refusal: string | null;
  readonly error: string | null;
}

export const outbox: Check<StateContext> = {
  id: 'database.outbox',
  title: 'outgoing events',
  async run({ inspector }) {
    const rows = await inspector.query<Unsent>(
      `select f.name, f.sink_missing_until is not null as missing,
              count(*) filter (where o.failed_at is not null)::int as refused,
              count(*) filter (where o.failed_at is null and o.attempts > 0)::int as late,
              count(*) filter (where o.failed_at is null)::int as waiting,
              (array_agg(o.error order by o.id desc) filter (where o.failed_at is not null))[1] as refusal,
              (array_agg(o.error order by o.id desc) filter (where o.failed_at is null and o.error is not null))[1] as error
       from muster.outbox o join muster.function f on f.id = o.function
       where o.failed_at is not null or o.sent_at is null
       group by f.id order by f.name`,
    );
    return orNone(rows.flatMap(unsent));
  },
};

function unsent({ name, refused, late, waiting, missing, refusal, error }: Unsent): Finding[] {
  const findings: Finding[] = [];
  if (refused > 0) {
    findings.push(
      problem(
        `the sink refused ${plural(refused, 'event')} of ${name} for good; the last: ${refusal}`,
        `muster events ${name} --refused   # to see them; once the sink takes them: muster resend ${name} --all; if nobody needs them: muster discard events ${name} --all`,
      ),
    );
  }
  if (missing && waiting > 0) {
    findings.push(
      problem(
        `${plural(waiting, 'event')} of ${name} ${waiting === 1 ? 'waits' : 'wait'} because no sink is configured`,
        'kubectl get sinkbindings -A   # is it ready? Or set K_SINK, SINK_TOPIC or SINK=stdout; they are sent by themselves then',
      ),
    );
  } else if (late > 0) {
    findings.push(
      problem(
        `the sink does not take ${plural(late, 'event')} of ${name}: ${error ?? 'no answer yet'}`,
        'curl -v "$K_SINK"   # is it there, and may Muster post to it? They are sent by themselves once it takes them',
      ),
    );
  }
  return findings;
}

export const due: Check<StateContext> = {
  id: 'database.due',
  title: 'work that is due',
  async run({ inspector }) {
    const [row] = await inspector.query<{ pods: number; count: number; seconds: number }>(
      `select (select count(*)::int from muster.worker where lease_until > now()) as pods,
              count(*)::int as count,
              coalesce(extract(epoch from now() - min(r.due_at)), 0)::float8 as seconds
       from muster.run r join muster.function f on f.id = r.function
       where r.state = 'ready' and r.complete and r.due_at <= now() and not f.paused`,
    );
    const { pods, count, seconds } = row!;
    const unread = await unreadPartitions(inspector);
    const at = `${plural(pods, 'pod')} at work`;
    if (count === 0) return unread.length > 0 ? unread : [fine(`none; ${at}`)];
    const says = `${plural(count, 'run')}, the oldest since ${duration(seconds)}; ${at}`;
    return pods > 0 || seconds < UNSEEN_SECONDS
      ? [fine(says), ...unread]
      : [
          problem(says, 'kubectl get scaledobject,deployment   # why does no pod start?'),
          ...unread,
        ];
  },
};

function orNone(findings: readonly Finding[]): readonly Finding[] {
  return findings.length > 0 ? findings : [fine('none')];
}
