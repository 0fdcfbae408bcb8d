import { readdirSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { CONTROL_CONNECTIONS } from '../../state/database/database.ts';
import type { Specification } from '../../definitions/specification.ts';
import { migrationsOf, OLDEST_SERVER } from '../../state/schema/migrations.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import { type Check, fine, problem } from '../finding.ts';
import { plural } from '../plural.ts';

/** Input of the checks of the state database. */
export interface StateContext {
  readonly inspector: Inspector;
  readonly config: Config;
  readonly specifications: readonly Specification[];
  /** Maximum number of pods, and of the connections that they hold together; null if unknown. */
  readonly wanted: Wanted | null;
}

export interface Wanted {
  readonly pods: number;
  readonly connections: number;
}

/** Returns the maximum number of connections of a pod that runs handlers. */
export function connectionsPerPod(writers: number, concurrency: number): number {
  return writers + CONTROL_CONNECTIONS + concurrency;
}

/** If clocks are further apart than this, one of the machines is not synchronized by NTP. */
const SKEW_SECONDS = 5;

export const version: Check<StateContext> = {
  id: 'database.version',
  title: 'version',
  async run({ inspector }) {
    const [server] = await inspector.query<{ number: number; version: string; standby: boolean }>(
      `select current_setting('server_version_num')::int as number,
              current_setting('server_version') as version, pg_is_in_recovery() as standby`,
    );
    const { number, version: name, standby } = server!;
    if (number < OLDEST_SERVER) {
      return [problem(`PostgreSQL ${name} is too old`, 'pg_upgrade to PostgreSQL 16 or newer')];
    }
    if (standby) {
      return [
        problem(
          'this is a standby, which is read-only',
          'set DATABASE_URL to the primary, or to a name that follows it: a URL names one host',
        ),
      ];
    }
    return [fine(`PostgreSQL ${name}, a primary`)];
  },
};

export const migrations: Check<StateContext> = {
  id: 'database.migrations',
  title: 'migrations',
  async run({ inspector, config }) {
    const missing: string[] = [];
    const newer: string[] = [];
    let count = 0;
    for (const { folder, table } of migrationsOf(config.FUNCTIONS)) {
      const here = readdirSync(folder).map((file) => file.replace(/\.sql$/, ''));
      const there = await applied(inspector, table);
      missing.push(...here.filter((name) => !there.includes(name)));
      newer.push(...there.filter((name) => !here.includes(name)));
      count += here.length;
    }
    if (missing.length > 0) {
      return [problem(`not applied: ${missing.join(', ')}`, 'muster migrate')];
    }
    const note = newer.length > 0 ? `; also ${newer.join(', ')} of a newer release` : '';
    return [fine(`${count} applied${note}`)];
  },
};

export const clock: Check<StateContext> = {
  id: 'database.clock',
  title: 'clock',
  run: ({ inspector }) => compareClocks(inspector),
};

/** Compares a server's clock with that of this machine. */
export async function compareClocks(inspector: Inspector) {
  const before = Date.now();
  const [row] = await inspector.query<{ ms: number }>(
    'select extract(epoch from clock_timestamp())::float8 * 1000 as ms',
  );
  const after = Date.now();
  // the server read its clock at some point between the two
  const skew = Math.max(0, row!.ms - after, before - row!.ms) / 1000;
  const apart = `${skew.toFixed(1)} s from this machine's`;
  return skew > SKEW_SECONDS
    ? [
        problem(
          `${apart}: one of the two is not synchronized by NTP`,
          'chronyc tracking   # on both',
        ),
      ]
    : [fine(apart)];
}

export const connections: Check<StateContext> = {
  id: 'database.connections',
  title: 'connections',
  async run({ inspector, config, wanted }) {
    const [row] = await inspector.query<{ max: number; others: number; limit: number | null }>(
      `select current_setting('max_connections')::int as max,
              current_setting('superuser_reserved_connections')::int
                + current_setting('reserved_connections')::int
                + (select count(*)::int from pg_stat_activity
                   where datid is not null and coalesce(backend_type, 'client backend') = 'client backend'
                     and application_name !~ '^muster (writer|control|handler|chunk|inspector)$') as others,
              least((select nullif(rolconnlimit, -1) from pg_roles where rolname = current_user),
                    (select nullif(datconnlimit, -1) from pg_database where datname = current_database())) as limit`,
    );
    const { max, others, limit } = row!;
    const perPod = connectionsPerPod(config.WRITERS, config.CONCURRENCY);
    const { pods, connections: needed } = wanted ?? { pods: 1, connections: perPod };
    const free = Math.min(max - others, limit ?? Infinity);
    const message = `${max} allowed, ${free} of them available to Muster`;
    if (free >= needed) {
      const enough = wanted
        ? `${plural(pods, 'pod')} with ${needed} in total`
        : `${plural(Math.floor(free / perPod), 'pod')} with ${perPod} each`;
      return [fine(`${message}: enough for ${enough}`)];
    }
    const isLimited = limit !== null && limit < max - others;
    return [
      problem(
        `${message}; ${plural(pods, 'pod')} may need ${needed}`,
        isLimited
          ? `raise the connection limit of the login and the database to ${needed}`
          : `alter system set max_connections = ${needed + others};   -- and restart the server; or lower CONCURRENCY or maxReplicaCount`,
      ),
    ];
  },
};

async function applied(inspector: Inspector, table: string): Promise<string[]> {
  const [found] = await inspector.query<{ there: boolean }>(
    'select to_regclass($1) is not null as there',
    [`muster.${table}`],
  );
  if (!found!.there) return [];
  const rows = await inspector.query<{ name: string }>(
    `select name from muster.${table} order by id`,
  );
  return rows.map((row) => row.name);
}
