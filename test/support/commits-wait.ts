import pg from 'pg';
import { until } from './until.ts';

/**
 * Resolves once commits of the server wait for a synchronous standby. Its checkpointer, on which that depends, reads a
 * changed setting some time after the sessions do. The commit that is tried for it stays.
 */
export async function commitsWait(url: string): Promise<void> {
  const [client, other] = [new pg.Client(url), new pg.Client(url)];
  await Promise.all([client.connect(), other.connect()]);
  try {
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
    const pid = rows[0]!.pid;
    const isWaiting = async () => {
      const waiting = await other.query(
        `select from pg_stat_activity where pid = $1 and wait_event = 'SyncRep'`,
        [pid],
      );
      return waiting.rowCount === 1;
    };
    await until(async () => {
      let hasCommitted = false;
      const committing = client
        .query(`select pg_logical_emit_message(true, 'test', '')`)
        .then(() => (hasCommitted = true));
      await until(async () => hasCommitted || (await isWaiting()));
      if (hasCommitted) return false;
      await other.query('select pg_cancel_backend($1)', [pid]); // ends the wait, and keeps the commit
      await committing;
      return true;
    });
  } finally {
    await Promise.all([client.end(), other.end()]);
  }
}
