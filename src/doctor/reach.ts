import { errorText } from '../lib/error-text.ts';
import { sqlState } from '../state/database/database.ts';
import { UnfitSession } from '../state/database/session.ts';
import { openInspector, type Inspector } from '../state/database/inspector.ts';
import { fine, problem, type Finding } from './finding.ts';

/** A connection, or why there is none. */
export type Reached =
  | { readonly inspector: Inspector; readonly finding: Finding }
  | { readonly inspector: null; readonly finding: Finding };

/** Connects to a Postgres; never throws. `variable` is where its URL comes from. */
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

/** Host, port and database of a URL: what may be shown of it. */
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
  const says = errorText(error);
  const state = sqlState(error);
  const code = (error as { code?: string }).code ?? '';
  if (error instanceof UnfitSession) {
    return problem(says, `name the PostgreSQL server itself in ${variable}`);
  }
  if (state === null && TLS_ERROR.test(`${code} ${says}`)) {
    return problem(
      `TLS: ${says}`,
      `set sslmode=verify-full&sslrootcert=<file with its CA> in ${variable}`,
    );
  }
  if (state !== null) return problem(`${says} (SQLSTATE ${state})`, refused(state));
  if (code === 'ENOENT') return problem(says, `name a file that is there in ${variable}`);
  if (/ENOTFOUND|EAI_AGAIN/.test(code)) {
    return problem(`the name ${hostname} is not known: ${says}`, `set the host in ${variable}`);
  }
  if (code === 'ECONNREFUSED') {
    return problem(`nothing listens there: ${says}`, `pg_isready ${at}`);
  }
  if (/timeout|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH/.test(`${code} ${says}`)) {
    return problem(
      `no answer: ${says}; a firewall or a NetworkPolicy may be in between`,
      `pg_isready ${at}`,
    );
  }
  return problem(says, `pg_isready ${at}`);

  function refused(sqlstate: string): string {
    switch (sqlstate) {
      case '28P01':
        return `set the password of ${login} in ${variable}`;
      case '28000':
        return `create role "${login}" login, or let it in by pg_hba.conf and select pg_reload_conf()`;
      case '3D000':
        return `createdb ${at} ${database}`;
      case '42501':
        return `grant connect on database "${database}" to "${login}"`;
      case '53300':
        return `alter system set max_connections = <more>, and restart the server; or fewer pods`;
      default:
        return `pg_isready ${at}`;
    }
  }
}
