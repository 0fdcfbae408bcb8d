/** Work that rests in the state database until a person does something about it. */
import type { StateContext } from './database.ts';
import { type Check, fine, problem, type Finding } from './finding.ts';
import { unreadPartitions } from './positions.ts';
import { duration, plural } from './words.ts';

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
          `${cure(row)}muster redeliver --reason ${row.reason}`,
        ),
      ),
    );
  },
};

/** What has to be done before the events are taken. */
function cure({ reason, detail }: Parked): string {
  switch (reason) {
    case 'position-restarted':
      return `${/muster epoch bump \S+/.exec(detail)?.[0] ?? 'muster epoch bump <source>'} && `;
    case 'unavailable-column':
      return `psql "$SOURCE_URL" -c '${/alter table .*$/.exec(detail)?.[0] ?? 'alter table <table> replica identity full'}' && `;
    default:
      return 'muster parked   # to see them; once their cause is mended: ';
  }
}

export const failed: Check<StateContext> = {
  id: 'database.failed',
  title: 'failed runs',
  async run({ inspector }) {
    const rows = await inspector.query<{ name: string; count: number; error: string | null }>(
      `select f.name, count(*)::int as count, (array_agg(r.error order by r.finished_at desc))[1] as error
       from muster.run r join muster.function f on f.id = r.function
       where r.state = 'failed' and r.wanted group by f.name order by f.name`,
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

export const outbox: Check<StateContext> = {
  id: 'database.outbox',
  title: 'outgoing events',
  async run({ inspector }) {
    const rows = await inspector.query<{
      name: string;
      refused: number;
      late: number;
      error: string | null;
      key: string;
    }>(
      `select f.name, count(*) filter (where o.failed_at is not null)::int as refused,
              count(*) filter (where o.failed_at is null)::int as late,
              (array_agg(o.error order by o.id desc) filter (where o.error is not null))[1] as error,
              min(o.key) as key
       from muster.outbox o join muster.function f on f.id = o.function
       where o.failed_at is not null or (o.sent_at is null and o.attempts > 0)
       group by f.name order by f.name`,
    );
    return orNone(
      rows.map(({ name, refused, late, error, key }) =>
        refused > 0
          ? problem(
              `the sink refused ${plural(refused, 'event')} of ${name} for good; the last: ${error}`,
              `muster explain ${name} '${key}'   # shows what was refused; the event can be sent from muster.outbox by hand`,
            )
          : problem(
              `the sink does not take ${plural(late, 'event')} of ${name}: ${error}`,
              'curl -v "$K_SINK"   # is it there? They are sent by themselves once it is',
            ),
      ),
    );
  },
};

export const due: Check<StateContext> = {
  id: 'database.due',
  title: 'work that is due',
  async run({ inspector }) {
    const [row] = await inspector.query<{ pods: number; count: number; seconds: number }>(
      `select (select count(*)::int from muster.pod where lease_until > now()) as pods,
              count(*)::int as count,
              coalesce(extract(epoch from now() - min(r.due_at)), 0)::float8 as seconds
       from muster.run r join muster.function f on f.id = r.function
       where r.state = 'ready' and r.wanted and r.due_at <= now() and not f.paused`,
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
