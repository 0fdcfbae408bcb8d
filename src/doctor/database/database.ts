import { readdirSync } from 'node:fs';
import type { Config } from '../../config/config.ts';
import { CONTROL_CONNECTIONS } from '../../state/database/database.ts';
import type { Specification } from '../../definitions/specification.ts';
import { migrationsOf, OLDEST_SERVER } from '../../state/schema/migrations.ts';
import type { Inspector } from '../../state/database/inspector.ts';
import { type Check, fine, problem } from '../finding.ts';
import { plural } from '../words.ts';

/** What the checks of the state database look at. */
export interface StateContext {
  readonly inspector: Inspector;
  readonly config: Config;
  readonly specifications: readonly Specification[];
  /** Pods there may be at a time, and connections they may hold together; null = not known. */
  readonly wanted: Wanted | null;
}

export interface Wanted {
  readonly pods: number;
  readonly connections: number;
}

/** Connections that a pod with handlers may hold at a time. */
export function connectionsPerPod(writers: number, concurrency: number): number {
  return writers + CONTROL_CONNECTIONS + concurrency;
}

/** Clocks further apart than this are of a machine that no NTP keeps. */
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
      return [problem(`PostgreSQL ${name} is too old`, 'pg_upgrade to PostgreSQL 18 or newer')];
    }
    if (standby) {
      return [
        problem(
          'this is a standby, and can not be written to',
          'name the primary in DATABASE_URL; with several hosts target_session_attrs=read-write',
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
    const note = newer.length > 0 ? `; ${newer.join(', ')} of a newer release too` : '';
    return [fine(`${count} applied${note}`)];
  },
};

export const clock: Check<StateContext> = {
  id: 'database.clock',
  title: 'clock',
  run: ({ inspector }) => compareClocks(inspector),
};

/** How far a server's clock is from this machine's. */
export async function compareClocks(inspector: Inspector) {
  const before = Date.now();
  const [row] = await inspector.query<{ ms: number }>(
    'select extract(epoch from clock_timestamp())::float8 * 1000 as ms',
  );
  const after = Date.now();
  // somewhere between the two it was read
  const skew = Math.max(0, row!.ms - after, before - row!.ms) / 1000;
  const apart = `${skew.toFixed(1)} s from this machine's`;
  return skew > SKEW_SECONDS
    ? [problem(`${apart}: one of the two is not kept by NTP`, 'chronyc tracking   # on both')]
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
    const says = `${max} at most, ${free} of them free for Muster`;
    if (free >= needed) {
      const enough = wanted
        ? `${plural(pods, 'pod')} with ${needed}`
        : `${plural(Math.floor(free / perPod), 'pod')} of ${perPod}`;
      return [fine(`${says}: enough for ${enough}`)];
    }
    const isLimited = limit !== null && limit < max - others;
    return [
      problem(
        `${says}; ${plural(pods, 'pod')} may hold ${needed}`,
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
