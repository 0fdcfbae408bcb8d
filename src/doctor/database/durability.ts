import type { StateContext } from './server.ts';
import { type Check, fine, problem, unchecked } from '../finding.ts';
import { plural } from '../plural.ts';

/** An event is acknowledged once it is committed, so a commit must survive a crash. */
export const commits: Check<StateContext> = {
  id: 'database.commits',
  title: 'commits',
  async run({ inspector }) {
    const [row] = await inspector.query<{ commit: string; fsync: string; pages: string }>(
      `select current_setting('synchronous_commit') as commit, current_setting('fsync') as fsync,
              current_setting('full_page_writes') as pages`,
    );
    const { commit, fsync, pages } = row!;
    if (fsync !== 'on' || pages !== 'on') {
      return [
        problem(
          `fsync is ${fsync}, full_page_writes is ${pages}: a machine crash loses acknowledged events`,
          'alter system reset fsync; alter system reset full_page_writes; select pg_reload_conf();',
        ),
      ];
    }
    // each connection sets it, so the default of the server or the role does not matter
    if (commit !== 'on' && commit !== 'remote_apply') {
      return [
        problem(
          `synchronous_commit is ${commit} although the connection has set it to on`,
          'set DATABASE_URL to the PostgreSQL server itself, or set pool_mode = session in the pooler',
        ),
      ];
    }
    return [fine(`synchronous_commit ${commit}, fsync ${fsync}`)];
  },
};

interface Standby {
  readonly name: string;
  readonly sync: string | null;
}

export const standbys: Check<StateContext> = {
  id: 'database.standbys',
  title: 'standbys',
  async run({ inspector }) {
    const [setting] = await inspector.query<{ names: string; login: string; sees: boolean }>(
      `select current_setting('synchronous_standby_names') as names, current_user as login,
              pg_has_role(current_user, 'pg_read_all_stats', 'usage') as sees`,
    );
    const { names, login, sees } = setting!;
    if (!sees) return [unchecked(`this login can't see standbys: grant pg_monitor to ${login}`)];
    // a connection to a database is of a logical reader, which may not have named its slot yet
    const all = await inspector.query<Standby>(
      `select r.application_name as name, r.sync_state as sync
       from pg_stat_replication r join pg_stat_activity a using (pid)
       where a.datid is null and r.state not in ('startup', 'backup') order by 1`,
    );
    const synchronous = all.filter(({ sync }) => sync === 'sync' || sync === 'quorum');
    if (names !== '' && synchronous.length === 0) {
      return [
        problem(
          `synchronous_standby_names is '${names}' but no such standby is connected: commits wait indefinitely`,
          `start the standby, or: alter system set synchronous_standby_names = ''; select pg_reload_conf();`,
        ),
      ];
    }
    if (all.length === 0) return [fine('none')];
    if (synchronous.length > 0) {
      return [
        fine(`${plural(all.length, 'standby server')}, ${synchronous.length} of them synchronous`),
      ];
    }
    const list = all.map(({ name }) => name).join(', ');
    return [
      problem(
        `only asynchronous standbys (${list}): a failover loses acknowledged events`,
        `alter system set synchronous_standby_names = 'ANY 1 (${[...new Set(all.map(({ name }) => `"${name}"`))].join(', ')})'; select pg_reload_conf();`,
      ),
    ];
  },
};
