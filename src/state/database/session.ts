import { randomUUID } from 'node:crypto';
import pg from 'pg';

/** Settings of a session by name. */
export type Settings = Readonly<Record<string, string>>;

/**
 * The text forms that pg and our statements read. A role or a database may default to others: with
 * DateStyle "German" pg reads no timestamp, with array_nulls off a null in an array is the word.
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

/** Settings of every session of Muster's, whatever the server, the database or the role defaults to. */
export const SESSION: Settings = {
  ...TEXT_FORMS,
  default_transaction_isolation: 'read committed',
  synchronous_commit: 'on',
  lock_timeout: '0',
  transaction_timeout: '0',
  idle_session_timeout: '0',
};

/**
 * For sessions that send Muster's own statements alone. Whoever may create in a schema of the login's
 * path can overload a built-in function that a statement calls unqualified, and have it called with the
 * login's rights; pg_temp last, because a temporary table would come first otherwise.
 */
export const OWN_PATH: Settings = { search_path: 'pg_catalog, pg_temp' };

/**
 * Lets Muster's statements run in a transaction whose other statements are an author's: also where the
 * author took another role, or had nulls in arrays read as words.
 */
export const ENTER_OWN_PATH =
  "select pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true), " +
  "pg_catalog.set_config('role', null, true), pg_catalog.set_config('array_nulls', 'on', true)";
export const LEAVE_OWN_PATH = 'set local search_path to default';

/** Marks a session, so that the next one that is given the same server process sees that it was not reset. */
const MARK = 'muster.session';
/** For the answer to the settings, and for the second connection that looks for a pooler. */
const PREPARE_MS = 5_000;
/** A busy pooler may hand out another server process by chance. */
const POOLER_TRIES = 3;

/** `before` is null for a setting that the server does not know; transaction_timeout came with 17. */
const PREPARE = `
select s.name, pg_catalog.pg_backend_pid() as pid, pg_catalog.current_setting(s.name, true) as before,
       case when s.custom or pg_catalog.current_setting(s.name, true) is not null
            then pg_catalog.set_config(s.name, s.value, false) end as after
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),
                pg_catalog.unnest($3::pg_catalog.bool[])) as s (name, value, custom)`;

/** A connection that can't be used, though something answers there: no second try will help. */
export class UnfitSession extends Error {
  override readonly name = 'UnfitSession';
}

/** What has to be sent to a session after RESET ALL, which takes it back to the login's defaults. */
const restoring = new WeakMap<pg.ClientBase, string>();

/** Opens one connection and prepares its session. */
export async function openSession(config: pg.ClientConfig, settings: Settings): Promise<pg.Client> {
  const client = new pg.Client(config);
  client.on('error', () => {}); // the next query tells
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
 * Sets the settings, in one round trip. They are no startup parameters, because a pooler refuses or drops
 * those. Throws {@link UnfitSession} where the session does not hold them.
 */
export async function prepareSession(
  client: pg.ClientBase,
  config: pg.ClientConfig,
  settings: Settings,
): Promise<void> {
  const mark = randomUUID();
  const wanted = Object.entries({ ...settings, [MARK]: mark });
  const { rows } = await client.query<Setting & { pid: number }>({
    text: PREPARE,
    values: [
      wanted.map(([name]) => name),
      wanted.map(([, value]) => value),
      wanted.map(([name]) => name === MARK),
    ],
    query_timeout: PREPARE_MS,
  } as pg.QueryConfig);
  const changed: Setting[] = [];
  for (const row of rows) {
    if (row.name === MARK) requireUnmarked(row.before);
    else if (row.after !== null && requireTaken(row, settings[row.name]!)) changed.push(row);
  }
  // A pooler answers with a process id of its own making.
  const isPooled = rows[0]!.pid !== (client as unknown as { processID: number }).processID;
  if (isPooled) {
    await requireOwnSession(client, mark, config);
    changed.push({ name: MARK, before: null, after: mark });
  }
  const sets = changed.map(
    ({ name, after }) =>
      `pg_catalog.set_config(${pg.escapeLiteral(name)}, ${pg.escapeLiteral(after!)}, false)`,
  );
  restoring.set(client, sets.length === 0 ? '' : `select ${sets.join(', ')};`);
}

/** Statements that take a prepared session back to its settings after RESET ALL. */
export function restore(client: pg.ClientBase): string {
  return restoring.get(client) ?? '';
}

interface Setting {
  readonly name: string;
  readonly before: string | null;
  readonly after: string | null;
}

/** True where the setting had another value before. */
function requireTaken({ name, before, after }: Setting, wanted: string): boolean {
  // DateStyle keeps the order of day and month beside the style
  const isTaken = after === wanted || (name === 'DateStyle' && after!.startsWith(`${wanted}, `));
  if (!isTaken) throw new UnfitSession(`${name} is ${after} on this connection, not ${wanted}`);
  return before !== after;
}

function requireUnmarked(mark: string | null): void {
  if (mark !== null && mark !== '') throw sharedSession();
}

/**
 * Between Muster and the server is a pooler: throws where it gives the server process of this session to
 * another one while this one lives. No pooler tells its mode, so a second connection tries to get it.
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
    return; // No server process is left for it: the pooler does not share the one of this session.
  }
  try {
    for (let tries = 0; tries < POOLER_TRIES; tries++) {
      await other.query({ text: 'begin', query_timeout: PREPARE_MS } as pg.QueryConfig);
      requireUnmarked(await markOf(other));
      if ((await markOf(client)) !== mark) throw sharedSession();
      // Now the other's server process is idle, and the last one to be so, which poolers hand out first.
      await other.query('rollback');
      if ((await markOf(client)) !== mark) throw sharedSession();
    }
  } catch (error) {
    // The same as above: this session keeps its server process, and the pooler has none for another.
    if (!(error instanceof Error && error.message === 'Query read timeout')) throw error;
  } finally {
    other.connection.stream.destroy();
  }
}

async function markOf(client: pg.ClientBase): Promise<string | null> {
  const { rows } = await client.query<{ mark: string | null }>(
    `select pg_catalog.current_setting('${MARK}', true) as mark`,
  );
  return rows[0]!.mark;
}

function sharedSession(): UnfitSession {
  return new UnfitSession(
    'a pooler is between that shares server sessions between clients, so settings and prepared ' +
      'statements do not hold: name the PostgreSQL server itself in the URL, or set pool_mode = session ' +
      '(and server_reset_query = DISCARD ALL) in the pooler for this database',
  );
}

const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
] as const;

/** Milliseconds in the form in which the server shows a time-out. */
export function timeout(ms: number): string {
  if (ms === 0) return '0';
  const unit = UNITS.find(([, size]) => ms % size === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unit[1]}${unit[0]}`;
}
