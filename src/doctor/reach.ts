import { errorText } from '../lib/error-text.ts';
import { sqlState } from '../state/database/database.ts';
import { UnfitSession } from '../state/database/session.ts';
import { openInspector, type Inspector } from '../state/database/inspector.ts';
import { fine, problem, type Finding } from './finding.ts';

/** A connection, or why there is none. */
export type Reached =
  | { readonly inspector: Inspector; readonly finding: Finding }
  | { readonly inspector: null; readonly finding: Finding };

/** Connects to a Postgres server; never throws. `variable` is the name of the variable with its URL. */
export async function reach(url: string, variable: string): Promise<Reached> {
  const started = performance.now();
  try {
    const inspector = await openInspector(url);
    const [row] = await inspector.query<{ version: string; login: string }>(
      `select current_setting('server_version') as version, current_user as login`,
    );
    const ms = Math.round(performance.now() - started);
    return {
      inspector,
      finding: fine(`PostgreSQL ${row!.version}, as ${row!.login}, in ${ms} ms`),
    };
  } catch (error) {
    return { inspector: null, finding: unreachable(error, url, variable) };
  }
}

/** Returns host, port and database of a URL: the parts that may be shown. */
export function placeOf(url: string): string {
  const { host, pathname, searchParams } = new URL(url);
  return `${host || (searchParams.get('host') ?? 'localhost')}${pathname}`;
}

const TLS_ERROR = /CERT|SSL|TLS|SELF_SIGNED|UNABLE_TO_(VERIFY|GET_ISSUER)/i;

function unreachable(error: unknown, url: string, variable: string): Finding {
  const { hostname, port, username, pathname } = new URL(url);
  const at = `-h ${hostname || 'localhost'} -p ${port || '5432'}`;
  const login = decodeURIComponent(username);
  const database = decodeURIComponent(pathname.slice(1));
  const message = errorText(error);
  const state = sqlState(error);
  const code = (error as { code?: string }).code ?? '';
  if (error instanceof UnfitSession) {
    return problem(message, `set ${variable} to the PostgreSQL server itself`);
  }
  if (state === null && TLS_ERROR.test(`${code} ${message}`)) {
    return problem(
      `TLS: ${message}`,
      `set sslmode=verify-full&sslrootcert=<file with its CA> in ${variable}`,
    );
  }
  if (state !== null) return problem(`${message} (SQLSTATE ${state})`, refused(state));
  if (code === 'ENOENT') return problem(message, `name an existing file in ${variable}`);
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) {
    return problem(
      `the host name ${hostname} can't be resolved: ${message}`,
      `correct the host in ${variable}`,
    );
  }
  if (code === 'ECONNREFUSED') {
    return problem(`nothing is listening: ${message}`, `pg_isready ${at}`);
  }
  if (/timeout|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/.test(`${code} ${message}`)) {
    return problem(
      `no answer: ${message}; a firewall or a NetworkPolicy may block the connection`,
      `pg_isready ${at}`,
    );
  }
  return problem(message, `pg_isready ${at}`);

  function refused(sqlstate: string): string {
    switch (sqlstate) {
      case '28P01':
        return `set the password of ${login} in ${variable}`;
      case '28000':
        return `create role "${login}" login, or admit it in pg_hba.conf and select pg_reload_conf()`;
      case '3D000':
        return `createdb ${at} ${database}`;
      case '42501':
        return `grant connect on database "${database}" to "${login}"`;
      case '53300':
        return `alter system set max_connections = <more>, and restart the server; or run fewer pods`;
      default:
        return `pg_isready ${at}`;
    }
  }
}
