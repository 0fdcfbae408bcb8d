/** Checks of what slows the state database down over time. */
import type { StateContext } from './server.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { bytes, duration, plural } from '../plural.ts';

/** Below this many updates a share means nothing. */
const ENOUGH_UPDATES = 1_000;
/** With handlers that take no time it is 0.88: the older version of a set can't be removed yet when its run ends. */
const MIN_HOT_SHARE = 0.8;

/** An index on a column that updates change makes each of them write all index entries of the row. */
export const updates: Check<StateContext> = {
  id: 'database.updates',
  title: 'updates in place',
  async run({ inspector }) {
    const rows = await inspector.query<{ name: string; updates: number; share: number }>(
      `select relname as name, n_tup_upd::float8 as updates, n_tup_hot_upd / n_tup_upd::float8 as share
       from pg_stat_user_tables
       where schemaname = 'muster' and relname in ('sets', 'member') and n_tup_upd >= $1 order by relname desc`,
      [ENOUGH_UPDATES],
    );
    if (rows.length === 0) return [fine('too few updates to tell')];
    return rows.map(({ name, updates: count, share }) => {
      const message = `${(share * 100).toFixed(0)} % of ${plural(count, 'update')} of muster.${name} wrote no index entry`;
      return share >= MIN_HOT_SHARE
        ? fine(message)
        : problem(
            message,
            `select indexrelid::regclass from pg_index where indrelid = 'muster.${name}'::regclass;   -- drop those that muster migrate has not created; rows that move to other sets, and snapshots held for long, also have this effect`,
          );
    });
  },
};

interface Dead {
  readonly name: string;
  readonly dead: number;
  readonly live: number;
  readonly vacuumed: string | null;
}

/** By default autovacuum begins at a fifth of a table; a table with more is not vacuumed, or can't be. */
export const deadRows: Check<StateContext> = {
  id: 'database.dead-rows',
  title: 'dead rows',
  async run({ inspector }) {
    const rows = await inspector.query<Dead>(
      `select relname as name, n_dead_tup::float8 as dead, n_live_tup::float8 as live,
              greatest(last_vacuum, last_autovacuum)::text as vacuumed
       from pg_stat_user_tables
       where schemaname = 'muster' and n_dead_tup > 100000 and n_dead_tup > n_live_tup order by relname`,
    );
    if (rows.length === 0) return [fine('no table has more dead than live rows')];
    return rows.map(({ name, dead, live, vacuumed }) =>
      problem(
        `muster.${name} has ${plural(dead, 'dead row')} and ${live} live; ${vacuumed === null ? 'never vacuumed' : `last vacuumed at ${vacuumed}`}`,
        `vacuum muster.${name};   -- if it removes nothing, see "snapshots"`,
      ),
    );
  },
};

/** Older snapshots keep dead rows of every table: queue, leases and sets grow, and claims slow down. */
const OLD_SECONDS = 600;

/** A slot that holds back this many transactions is one of a standby that is away, or of a query there. */
const OLD_TRANSACTIONS = 10_000_000;

interface Holder {
  readonly pid: number;
  readonly who: string;
  readonly state: string;
  readonly seconds: number;
  /** Null if it is this one. */
  readonly otherDatabase: string | null;
}

interface Prepared {
  readonly gid: string;
  readonly database: string;
  /** Whether it is of this database. */
  readonly isOwn: boolean;
  readonly seconds: number;
}

/** In another database of the server, a transaction counts if it has written: the snapshots taken here see it. */
export const snapshots: Check<StateContext> = {
  id: 'database.snapshots',
  title: 'snapshots',
  async run({ inspector }) {
    const [mine] = await inspector.query<{ login: string; sees: boolean }>(
      `select current_user as login, pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees`,
    );
    if (!mine!.sees) {
      return [unchecked(`this login can't see other sessions: grant pg_monitor to ${mine!.login}`)];
    }
    const sessions = await inspector.query<Holder>(
      `select pid, coalesce(nullif(application_name, ''), usename, backend_type) as who, coalesce(state, '') as state,
              extract(epoch from now() - xact_start)::float8 as seconds,
              nullif(datname, current_database()) as "otherDatabase"
       from pg_stat_activity
       where (backend_xid is not null or backend_xmin is not null and datname = current_database())
         and xact_start < now() - make_interval(secs => $1) and backend_type not like '%autovacuum%'
       order by xact_start`,
      [OLD_SECONDS],
    );
    const prepared = await inspector.query<Prepared>(
      `select gid, database, database = current_database() as "isOwn", extract(epoch from now() - prepared)::float8 as seconds from pg_prepared_xacts
       where prepared < now() - make_interval(secs => $1) order by prepared`,
      [OLD_SECONDS],
    );
    const slots = await inspector.query<{ slot: string; transactions: number }>(
      `select slot_name::text as slot, age(xmin)::float8 as transactions from pg_replication_slots
       where age(xmin) > $1`,
      [OLD_TRANSACTIONS],
    );
    const found: Finding[] = [
      ...sessions.map(heldBySession),
      ...prepared.map(({ gid, database, isOwn, seconds }) =>
        problem(
          `a prepared transaction of database ${database} has been open for ${duration(seconds)}: ${UNREMOVED}`,
          isOwn
            ? `rollback prepared '${gid.replaceAll("'", "''")}';   -- or commit prepared, as its coordinator decided`
            : `select * from pg_prepared_xacts where database = '${database.replaceAll("'", "''")}';   -- somebody else's, perhaps: ask its owner to end it`,
        ),
      ),
      ...slots.map(({ slot, transactions }) =>
        problem(
          `the standby of the slot ${slot} still needs rows that were deleted ${transactions} transactions ago: ${UNREMOVED}`,
          `select * from pg_stat_activity where xact_start < now() - interval '10 min';   -- on the standby; or drop its slot, if it is gone for good`,
        ),
      ),
    ];
    return found.length > 0 ? found : [fine(`none is older than ${duration(OLD_SECONDS)}`)];
  },
};

const UNREMOVED = "dead rows can't be removed";

function heldBySession({ pid, who, state, seconds, otherDatabase }: Holder): Finding {
  const where = otherDatabase === null ? '' : ` in database ${otherDatabase}`;
  return problem(
    `${who} (process ${pid}, ${state || 'not active'}) has had a transaction open for ${duration(seconds)}${where}: ${UNREMOVED}`,
    otherDatabase === null
      ? `select pg_terminate_backend(${pid});   -- rolls its transaction back`
      : `select * from pg_stat_activity where pid = ${pid};   -- somebody else's, perhaps: ask its owner to end it`,
  );
}

/** Below this size empty pages cost nothing. */
const LARGE_BYTES = 64 * 1024 ** 2;
/** A page for each row: every page is at least half empty, because longer rows are stored out of line. */
const BYTES_PER_ROW = 8_192;
/** Ids and keys have at most 1,024 bytes; most entries have 60. */
const BYTES_PER_ENTRY = 4_096;

interface Relation {
  readonly name: string;
  readonly isIndex: boolean;
  readonly bytes: number;
  readonly rows: number;
}

/** Vacuum makes the pages of removed rows usable again, but gives them back only from the end of a table. */
export const bloat: Check<StateContext> = {
  id: 'database.bloat',
  title: 'empty pages',
  async run({ inspector }) {
    const relations = await inspector.query<Relation>(
      `select c.relname as name, c.relkind = 'i' as "isIndex", pg_relation_size(c.oid)::float8 as bytes,
              -- statistics may have been reset, by a crash or a failover too
              greatest(s.n_live_tup, t.reltuples, 0)::float8 as rows
       from pg_stat_user_tables s
       join pg_class t on t.oid = s.relid
       left join pg_index i on i.indrelid = s.relid
       join pg_class c on c.oid in (s.relid, i.indexrelid)
       where s.schemaname = 'muster' and pg_relation_size(c.oid) > $1
       group by c.oid, c.relname, c.relkind, s.n_live_tup, t.reltuples order by 1`,
      [LARGE_BYTES],
    );
    const found = relations
      .filter((each) => each.bytes > each.rows * (each.isIndex ? BYTES_PER_ENTRY : BYTES_PER_ROW))
      .map(({ name, isIndex, bytes: size, rows }) =>
        problem(
          `muster.${name} takes ${bytes(size)} for ${plural(rows, 'row')}: most of its pages are empty`,
          isIndex
            ? `reindex index concurrently muster.${name};`
            : `vacuum full muster.${name};   -- events wait until it has copied the rows that are left`,
        ),
      );
    return found.length > 0 ? found : [fine('none to speak of')];
  },
};

/** Smaller values force a checkpoint, and with it full images of all pages that change next, every few seconds. */
const MIN_MAX_WAL = 4 * 1024;

/** Hints only: the right values depend on the disk. */
export const walSettings: Check<StateContext> = {
  id: 'database.wal',
  title: 'write-ahead log',
  async run({ inspector }) {
    const [row] = await inspector.query<{ compression: string; size: number }>(
      `select current_setting('wal_compression') as compression,
              (pg_size_bytes(current_setting('max_wal_size')) / 1024 / 1024)::int as size`,
    );
    const { compression, size } = row!;
    const hints = [
      ...(compression === 'off'
        ? ['wal_compression = lz4 halves the images of pages that follow a checkpoint']
        : []),
      ...(size < MIN_MAX_WAL
        ? [`max_wal_size = 4GB makes checkpoints rarer under load (it is ${size} MB)`]
        : []),
    ];
    return [
      fine(hints.length === 0 ? 'compressed, with room' : `worth a try: ${hints.join('; ')}`),
    ];
  },
};
