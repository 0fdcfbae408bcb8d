import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** Settings of a session, by name. */
export type Settings = Readonly<Record<string, string>>;

/**
 * Text formats that pg and our statements rely on. A role or a database may have other defaults: with
 * DateStyle "German" pg can't read a timestamp, with array_nulls off a null in an array is read as the text.
 */
const TEXT_FORMS = {
  DateStyle: 'ISO',
  IntervalStyle: 'postgres',
  extra_float_digits: '1',
  bytea_output: 'hex',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  transform_null_equals: 'off',
};

/** Settings of each of Muster's sessions, regardless of the defaults of the server, the database or the role. */
export const SESSION: Settings = {
  ...TEXT_FORMS,
  default_transaction_isolation: 'read committed',
  synchronous_commit: 'on',
  lock_timeout: '0',
  transaction_timeout: '0',
  idle_session_timeout: '0',
};

/**
 * Search path of sessions that send only Muster's own statements. A role that can create objects in a schema of the
 * login's path could overload a built-in function that a statement calls unqualified, and have it called
 * with the login's rights. pg_temp is last, because a temporary table would come first otherwise.
 */
export const OWN_PATH: Settings = { search_path: 'pg_catalog, pg_temp' };

/**
 * Statement that precedes Muster's own ones in a transaction with statements of an author, who may have set
 * another search path or role, or turned array_nulls off.
 */
export const ENTER_OWN_PATH =
  "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), " +
  "pg_catalog.set_config('role', null, true), pg_catalog.set_config('array_nulls', 'on', true)";
export const LEAVE_OWN_PATH = 'set local search_path to default';

/** Custom setting by which a session finds out that its server process was another's before, and not reset. */
const MARK = 'muster.session';
/** Timeout of the settings, and of the second connection that detects a pooler. */
const PREPARE_MS = 5_000;
/** More than one, because a busy pooler may hand out another server process by chance. */
const POOLER_TRIES = 3;

/** `before` is null for a setting that the server does not have; transaction_timeout is new in 17. */
const PREPARE = `
select s.name, pg_catalog.pg_backend_pid() as pid, pg_catalog.current_setting(s.name, true) as before,
       case when s.custom or pg_catalog.current_setting(s.name, true) is not null
            then pg_catalog.set_config(s.name, s.value, false) end as after
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),
                pg_catalog.unnest($3::pg_catalog.bool[])) as s (name, value, custom)`;

/** The server or pooler answers, and the session can't be used: no retry can help. */
export class UnfitSession extends Error {
  override readonly name = 'UnfitSession';
}

/** Statements to send to a session after RESET ALL, which returns it to the login's defaults. */
const afterReset = new WeakMap<pg.ClientBase, string>();
const pooled = new WeakSet<pg.ClientBase>();

/** Opens one connection and prepares its session. */
export async function openSession(config: pg.ClientConfig, settings: Settings): Promise<pg.Client> {
  const client = new pg.Client(config);
  client.on('error', () => {}); // the next query reports it
  try {
    await client.connect();
    await prepareSession(client, config, settings);
    return client;
  } catch (error) {
    client.end().catch(() => {});
    throw error;
  }
}

/**
 * Applies the settings, in one round trip. They are not startup parameters, because a pooler refuses or drops
 * those. Throws {@link UnfitSession} if they do not take effect or do not last.
 */
export async function prepareSession(
  client: pg.ClientBase,
  config: pg.ClientConfig,
  settings: Settings,
): Promise<void> {
  const mark = randomUUID();
  const requested = Object.entries({ ...settings, [MARK]: mark });
  const { rows } = await client.query<Setting & { pid: number }>({
    text: PREPARE,
    values: [
      requested.map(([name]) => name),
      requested.map(([, value]) => value),
      requested.map(([name]) => name === MARK),
    ],
    query_timeout: PREPARE_MS,
  } as pg.QueryConfig);
  const changed: Setting[] = [];
  for (const row of rows) {
    if (row.name === MARK) requireUnmarked(row.before);
    else if (row.after !== null) {
      const isChanged = requireApplied(row, settings[row.name]!);
      // A default may change while the session lives. Each setting costs time after every handler, so only the one
      // that a promise depends on is applied although it was the default.
      if (isChanged || row.name === 'synchronous_commit') changed.push(row);
    }
  }
  // A pooler invents the process id that it answers with.
  if (rows[0]!.pid !== (client as unknown as { processID: number }).processID) {
    pooled.add(client);
    await requireOwnSession(client, mark, config);
    changed.push({ name: MARK, before: null, after: mark });
  }
  const sets = changed.map(
    ({ name, after }) =>
      `pg_catalog.set_config(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(after!)}, false)`,
  );
  afterReset.set(client, sets.length === 0 ? '' : `select ${sets.join(', ')};`);
}

/** Whether a pooler is between a prepared session and the server. */
export function isPooled(client: pg.ClientBase): boolean {
  return pooled.has(client);
}

/** Statements that apply a prepared session's settings again after RESET ALL. */
export function settingsAfterReset(client: pg.ClientBase): string {
  return afterReset.get(client) ?? '';
}

interface Setting {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** Throws if the setting did not take effect; returns whether it had another value before. */
function requireApplied({ name, before, after }: Setting, value: string): boolean {
  // DateStyle also has the order of day and month
  const isApplied = after === value || (name === 'DateStyle' && after!.startsWith(`${value}, `));
  if (!isApplied) throw new UnfitSession(`${name} is ${after} on this connection, not ${value}`);
  return before !== after;
}

function requireUnmarked(mark: string | null): void {
  if (mark !== null && mark !== '') throw sharedSession();
}

/**
 * Throws if a pooler assigns the server process of this session to another session while this one is open. No
 * pooler reports its mode, so a second connection tries to get the process.
 */
async function requireOwnSession(
  client: pg.ClientBase,
  mark: string,
  config: pg.ClientConfig,
): Promise<void> {
  const other = new pg.Client({ ...config, connectionTimeoutMillis: PREPARE_MS });
  other.on('error', () => {});
  try {
    await other.connect();
  } catch {
    return; // No server process is left for it, so the pooler does not share that of this session.
  }
  try {
    for (let tries = 0; tries < POOLER_TRIES; tries++) {
      await other.query({ text: 'begin', query_timeout: PREPARE_MS } as pg.QueryConfig);
      requireUnmarked(await markOf(other));
      if ((await markOf(client)) !== mark) throw sharedSession();
      // Now the server process of the other session was the last to become idle: poolers hand that out first.
      await other.query('rollback');
      if ((await markOf(client)) !== mark) throw sharedSession();
    }
  } catch (error) {
    if (!(error instanceof Error && error.message === 'Query read timeout')) throw error;
    // As above, the pooler has no server process for the other session: if this one kept its own, it answers at once.
    if ((await markOf(client)) !== mark) throw sharedSession();
  } finally {
    other.connection.stream.destroy();
  }
}

async function markOf(client: pg.ClientBase): Promise<string | null> {
  const { rows } = await client.query<{ mark: string | null }>({
    text: `select pg_catalog.current_setting('${MARK}', true) as mark`,
    query_timeout: PREPARE_MS,
  } as pg.QueryConfig);
  return rows[0]!.mark;
}

function sharedSession(): UnfitSession {
  return new UnfitSession(
    'a pooler in between shares server sessions among clients, so settings and prepared ' +
      'statements do not last: name the PostgreSQL server itself in the URL, or set pool_mode = session ' +
      '(and server_reset_query = DISCARD ALL) in the pooler for this database',
  );
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** Milliseconds in the format in which the server shows a timeout. */
export function timeoutSetting(ms: number): string {
  if (ms === 0) return '0';
  const unit = UNITS.find(([, size]) => ms % size === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`;
}
