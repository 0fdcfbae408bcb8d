import { type Check, fine, problem, unchecked } from '../finding.ts';
import { ADVICE } from './reader.ts';
import type { SourceContext } from './wal.ts';

interface Failover {
  readonly version: number;
  /** Whether the slot is copied; null if there is none. */
  readonly isCopied: boolean | null;
  readonly hasStandby: boolean;
  /** Names of slots of connected standbys. */
  readonly standbys: readonly string[];
  /** Names of slots in synchronized_standby_slots. */
  readonly waitsFor: readonly string[];
}

/** Whether the slot, and all that was read from it, survives a failover. */
export const failover: Check<SourceContext> = {
  id: 'source.failover',
  title: 'failover',
  async run({ inspector, slot, reader }) {
    const advice = ADVICE[reader];
    const [found] = await inspector.query<Failover>(
      `select current_setting('server_version_num')::int as version,
              (select (to_jsonb(s) ->> 'failover')::bool from pg_replication_slots s where slot_name = $1) as "isCopied",
              exists (select from pg_stat_replication r
                      where r.pid not in (select active_pid from pg_replication_slots
                                          where slot_type = 'logical' and active_pid is not null)) as "hasStandby",
              array(select slot_name::text from pg_replication_slots where slot_type = 'physical' and active) as standbys,
              array(
                select name
                from regexp_split_to_table(current_setting('synchronized_standby_slots', true), '[ ,"]+') name
                where name <> '') as "waitsFor"`,
      [slot],
    );
    const { version, isCopied, hasStandby, standbys, waitsFor } = found!;
    if (reader === 'connector' && !hasStandby) return [fine('no standby is connected')];
    if (version < 170_000) {
      return [
        fine(
          `slots are not copied to standbys before PostgreSQL 17: after a failover ${advice.again}`,
        ),
      ];
    }
    if (isCopied === null) return [unchecked(`there is no slot ${slot}`)];
    if (!isCopied) {
      return [
        problem(
          `${slot} is not copied to standbys: after a failover ${advice.again}`,
          advice.copied(slot),
        ),
      ];
    }
    const away = waitsFor.filter((each) => !standbys.includes(each));
    if (away.length > 0) {
      const connected = waitsFor.filter((each) => standbys.includes(each));
      return [
        problem(
          `no change is sent before the standby of the slot ${away.join(', ')} has it, and that is not connected`,
          `alter system set synchronized_standby_slots = '${connected.join(', ')}'; select pg_reload_conf();   -- or start the standby`,
        ),
      ];
    }
    if (standbys.length > 0 && waitsFor.length === 0) {
      return [
        problem(
          'a standby may lack changes that are ingested: after a failover, other changes would have their positions',
          `alter system set synchronized_standby_slots = '${standbys.join(', ')}'; select pg_reload_conf();   -- the slots of the standbys that may be promoted`,
        ),
      ];
    }
    return [fine(`${slot} is copied to standbys that have sync_replication_slots`)];
  },
};
