import { type Check, fine, problem, unchecked } from '../finding.ts';
import { ADVICE } from './reader.ts';
import type { SourceContext } from './wal.ts';

interface Failover {
  readonly login: string;
  /** Whether the login may see which sessions are those of standbys. */
  readonly sees: boolean;
  readonly version: number;
  /** Whether the slot is copied; null if there is none. */
  readonly isCopied: boolean | null;
  /** Number of standbys that are connected, with or without a slot. */
  readonly connected: number;
  /** Names of slots of connected standbys. */
  readonly standbys: readonly string[];
  /** Names of slots in synchronized_standby_slots. */
  readonly waitsFor: readonly string[];
}

/** Programs that copy the log as a standby does, but are never promoted. */
const RECEIVERS = ['pg_receivewal', 'pg_basebackup', 'barman_receive_wal'];

/** Whether the slot, and all that was read from it, survives a failover. */
export const failover: Check<SourceContext> = {
  id: 'source.failover',
  title: 'failover',
  async run({ inspector, slot, reader }) {
    const advice = ADVICE[reader];
    const [found] = await inspector.query<Failover>(
      `with senders as (
         select r.pid from pg_stat_replication r
         where r.application_name <> all ($2) and r.state in ('streaming', 'catchup')
           and not exists (select from pg_replication_slots s where s.slot_type = 'logical' and s.active_pid = r.pid)
       )
       select current_user as login, pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees,
              current_setting('server_version_num')::int as version,
              (select (to_jsonb(s) ->> 'failover')::bool from pg_replication_slots s where slot_name = $1) as "isCopied",
              (select count(*)::int from senders) as connected,
              array(select slot_name::text from pg_replication_slots
                    where slot_type = 'physical' and active_pid in (select pid from senders)) as standbys,
              array(
                select name
                from regexp_split_to_table(current_setting('synchronized_standby_slots', true), '[ ,"]+') name
                where name <> '') as "waitsFor"`,
      [slot, RECEIVERS],
    );
    const { login, sees, version, isCopied, connected, standbys, waitsFor } = found!;
    if (!sees) return [unchecked(`this login can't see standbys: grant pg_monitor to ${login}`)];
    const away = waitsFor.filter((each) => !standbys.includes(each));
    if (reader === 'connector' && connected === 0 && (isCopied !== true || away.length === 0)) {
      return [fine('no standby is connected')];
    }
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
    if (away.length > 0) {
      const present = waitsFor.filter((each) => standbys.includes(each));
      return [
        problem(
          `no change is sent before the standby of the slot ${away.join(', ')} has it, and that is not connected`,
          `alter system set synchronized_standby_slots = '${present.join(', ')}'; select pg_reload_conf();   -- or start the standby`,
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
