import type { Specification } from '../../definitions/specification.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import type { Decimals } from './column-forms.ts';
import { compareClocks } from '../database/server.ts';
import { type Check, fine, problem, type Finding } from '../finding.ts';
import { bytes } from '../plural.ts';
import { ADVICE, type SourceReader } from './reader.ts';

/** Input of the checks of the source database. */
export interface SourceContext {
  readonly inspector: Inspector;
  readonly specifications: readonly Specification[];
  readonly reader: SourceReader;
  /** Names in the configuration of the reader. */
  readonly publication: string;
  readonly slot: string;
  /** Name of the source in Muster's state: the connector's `topic.prefix`. */
  readonly name: string;
  /** `decimal.handling.mode` of the connector. */
  readonly decimals: Decimals;
  /** The state database; null if it is not reachable. */
  readonly state: Inspector | null;
}

/** A connector acknowledges every few seconds; one that is this far behind does not. */
const MUCH_WAL = 1024 ** 3;

export const walLevel: Check<SourceContext> = {
  id: 'source.wal_level',
  title: 'wal_level',
  async run({ inspector }) {
    const [row] = await inspector.query<{ level: string }>(
      `select current_setting('wal_level') as level`,
    );
    return row!.level === 'logical'
      ? [fine('logical')]
      : [
          problem(
            `${row!.level}: the log does not contain the changed rows`,
            'alter system set wal_level = logical;   -- and restart the server',
          ),
        ];
  },
};

interface Slot {
  readonly plugin: string;
  readonly type: string;
  readonly database: string | null;
  readonly here: string;
  readonly active: boolean;
  readonly status: string | null;
  readonly held: number | null;
  readonly limit: string;
}

export const slot: Check<SourceContext> = {
  id: 'source.slot',
  title: 'replication slot',
  async run({ inspector, slot: name, state, name: source, reader }) {
    const advice = ADVICE[reader];
    const [found] = await inspector.query<Slot>(
      `select plugin, slot_type as type, database, current_database() as here, active, wal_status as status,
              pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                   else pg_current_wal_lsn() end, restart_lsn)::float8 as held,
              current_setting('max_slot_wal_keep_size') as limit
       from pg_replication_slots where slot_name = $1`,
      [name],
    );
    if (found === undefined) {
      const isDropped = await hasStreamed(state, source);
      const [why, remedy] = isDropped ? advice.dropped(source) : advice.absent;
      return [problem(`there is no slot ${name}${isDropped ? ',' : ':'} ${why}`, remedy)];
    }
    return [checkSlot(name, found, advice)];
  },
};

/** Returns whether the state database has ingested changes of the source. */
async function hasStreamed(state: Inspector | null, source: string): Promise<boolean> {
  if (state === null) return false;
  const rows = await state.query('select from muster.source where name = $1 and lsn > 0', [source]);
  return rows.length > 0;
}

function checkSlot(name: string, found: Slot, advice: (typeof ADVICE)[SourceReader]): Finding {
  const { plugin, type, database, here, active, status, limit } = found;
  const held = `${bytes(found.held ?? 0)} of log retained`;
  if (type !== 'logical' || plugin !== 'pgoutput' || database !== here) {
    return problem(
      `${name} is a ${type} slot of ${plugin ?? 'no plugin'} in database ${database ?? '(none)'}, expected pgoutput in ${here}`,
      advice.foreign,
    );
  }
  if (status === 'lost') {
    return problem(
      `${name} is lost: the log it needs was removed, and changes with it`,
      advice.lost(name),
    );
  }
  if (status === 'unreserved') {
    return problem(
      `${name} is about to be lost: ${held}, beyond max_slot_wal_keep_size (${limit})`,
      `alter system set max_slot_wal_keep_size = '${moreThan(found.held)}'; select pg_reload_conf();   -- ${advice.start}`,
    );
  }
  const unlimited = limit === '-1';
  const bound = unlimited ? 'no limit (max_slot_wal_keep_size)' : `at most ${limit}`;
  if (!active) {
    return problem(
      `nothing reads ${name}: ${held}, ${bound}${unlimited ? ', until the disk is full' : ''}`,
      advice.unread,
    );
  }
  if ((found.held ?? 0) > MUCH_WAL) {
    const [why, remedy] = advice.slow;
    return problem(`${name}: ${held}, ${bound}: ${why}`, remedy);
  }
  return fine(`${name} is read, ${held}, ${bound}`);
}

/** Returns a size with headroom, in the syntax of Postgres. */
function moreThan(held: number | null): string {
  return `${Math.max(1, Math.ceil(((held ?? 0) * 4) / MUCH_WAL))}GB`;
}

/** The positions of a restored or recreated source restart, so new events would be rejected as stale. */
export const position: Check<SourceContext> = {
  id: 'source.position',
  title: 'log position',
  async run({ inspector, state, name }) {
    if (state === null) {
      throw new Error('the state database, which has the newest position, is not reachable');
    }
    const [newest] = await state.query<{ lsn: string; epoch: number }>(
      'select lsn, epoch from muster.source where name = $1',
      [name],
    );
    if (newest === undefined) return [fine(`nothing has arrived from a source '${name}' yet`)];
    const [now] = await inspector.query<{ lsn: string }>(
      `select pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                                   else pg_current_wal_lsn() end, '0/0')::bigint as lsn`,
    );
    const message = `epoch ${newest.epoch}: ingested up to ${newest.lsn}, the log is at ${now!.lsn}`;
    return BigInt(now!.lsn) < BigInt(newest.lsn)
      ? [
          problem(
            `${message}: the source was restored or recreated`,
            `muster epoch bump ${name} && muster redeliver --reason position-restarted`,
          ),
        ]
      : [fine(message)];
  },
};

/** Commit times decide between changes and snapshot reads, and when a position has restarted. */
export const sourceClock: Check<SourceContext> = {
  id: 'source.clock',
  title: 'clock',
  run: ({ inspector }) => compareClocks(inspector),
};
