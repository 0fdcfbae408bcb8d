/** Checks for work that stays in the state database until an operator acts. */
import type { StateContext } from './server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { unreadPartitions } from './positions.ts';
import { duration, plural } from '../plural.ts';

/** Workers look for due work every second; no worker sees work that has been due this long. */
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
          `${plural(row.count, 'event')}: ${row.reason}, the oldest parked ${duration(row.seconds)} ago; the latest: ${row.detail}`,
          remedyFor(row),
        ),
      ),
    );
  },
};

/** Returns what to do before the events can be ingested. */
function remedyFor({ reason, detail }: Parked): string {
  const redeliver = `muster redeliver --reason ${reason}`;
  const bump = /muster epoch bump \S+/.exec(detail)?.[0];
  if (reason === 'position-ahead' && bump !== undefined) return `${bump} && ${redeliver}`;
  switch (reason) {
    case 'position-restarted':
      return bump === undefined
        ? 'muster parked   # to see them; run an incremental snapshot of their tables, then: muster discard parked <id>'
        : `${bump} && ${redeliver}`;
    case 'unavailable-column':
      return `muster doctor --source <url>   # lists the statements under "replica identity"; then have the rows sent again, and: ${redeliver}`;
    case 'unsupported-source':
      return 'kubectl get kafkasource -A   # remove the topics of the other database from spec.topics';
    default:
      return `muster parked   # to see them; once the cause is fixed: ${redeliver}`;
  }
}

export const failed: Check<StateContext> = {
  id: 'database.failed',
  title: 'failed runs',
  async run({ inspector }) {
    const rows = await inspector.query<{ name: string; count: number; error: string | null }>(
      `select f.name, count(*)::int as count, (array_agg(r.error order by r.finished_at desc))[1] as error
       from muster.queue q
       join muster.sets r on r.function = q.function and r.key_hash = q.key_hash and r.token = q.token
       join muster.function f on f.id = q.function
       where q.due_at = 'infinity' and r.complete group by f.name order by f.name`,
    );
    return orNone(
      rows.map(({ name, count, error }) =>
        problem(
          `${plural(count, 'run')} of ${name} failed; the latest error: ${error?.split('\n')[0] ?? 'none recorded'}`,
          `muster sets ${name} --failed   # to see them; once the cause is fixed: muster retry ${name} --all`,
        ),
      ),
    );
  },
};

interface Unsent {
  readonly name: string;
  readonly refused: number;
  /** Attempted, but not accepted by the sink. */
  readonly late: number;
  /** Not sent, attempted or not. */
  readonly waiting: number;
  /** A process without a sink has reported, and none with a sink since. */
  readonly missing: boolean;
  /** Error of the latest refused event. */
  readonly refusal: string | null;
  /** Error of the latest event that the sink did not accept. */
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
        `the sink refused ${plural(refused, 'event')} of ${name} permanently; the latest error: ${refusal}`,
        `muster events ${name} --refused   # to see them; once the sink accepts them: muster resend ${name} --all; if they are not needed: muster discard events ${name} --all`,
      ),
    );
  }
  if (missing && waiting > 0) {
    findings.push(
      problem(
        `${plural(waiting, 'event')} of ${name} ${waiting === 1 ? 'waits' : 'wait'} because no sink is configured`,
        'kubectl get sinkbindings -A   # is it ready? Or set K_SINK, SINK_TOPIC or SINK=stdout; the events are then sent automatically',
      ),
    );
  } else if (late > 0) {
    findings.push(
      problem(
        `the sink does not accept ${plural(late, 'event')} of ${name}: ${error ?? 'no answer yet'}`,
        'curl -v "$K_SINK"   # is it reachable, and may Muster post to it? The events are sent automatically once it accepts them',
      ),
    );
  }
  return findings;
}

export const due: Check<StateContext> = {
  id: 'database.due',
  title: 'due work',
  async run({ inspector }) {
    const [row] = await inspector.query<{ workers: number; count: number; seconds: number }>(
      `select (select count(*)::int from muster.worker where lease_until > now()) as workers,
              count(*)::int as count,
              coalesce(extract(epoch from now() - min(q.due_at)), 0)::float8 as seconds
       from muster.queue q
       join muster.sets r on r.function = q.function and r.key_hash = q.key_hash and r.token = q.token
       join muster.function f on f.id = q.function
       where q.due_at <= now() and r.complete and not f.paused`,
    );
    const { workers, count, seconds } = row!;
    const unread = await unreadPartitions(inspector);
    const at = `${plural(workers, 'worker')} running`;
    if (count === 0) return unread.length > 0 ? unread : [fine(`none; ${at}`)];
    const message = `${plural(count, 'run')}, the oldest due for ${duration(seconds)}; ${at}`;
    return workers > 0 || seconds < UNSEEN_SECONDS
      ? [fine(message), ...unread]
      : [
          problem(message, 'kubectl get scaledobject,deployment   # why does no pod start?'),
          ...unread,
        ];
  },
};

function orNone(findings: readonly Finding[]): readonly Finding[] {
  return findings.length > 0 ? findings : [fine('none')];
}
