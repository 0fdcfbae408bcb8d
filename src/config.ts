import { readdirSync } from 'node:fs';

/** One environment variable: what the README's table shows is read from here. */
interface Setting {
  readonly meaning: string;
  /** As it would stand in the environment; null = nothing is set. */
  readonly fallback: string | null;
  readonly read: (text: string) => unknown;
}

/** A value that can't be used, with what would do. */
class Wrong extends Error {}

const text = (value: string) => value;
const url =
  (...protocols: string[]) =>
  (value: string) => {
    const parsed = URL.canParse(value) ? new URL(value) : null;
    if (parsed === null || !protocols.includes(parsed.protocol)) {
      throw new Wrong(
        `must be a URL that begins with ${protocols.map((each) => `${each}//`).join(' or ')}`,
      );
    }
    if (parsed.username !== '' && parsed.protocol.startsWith('http')) {
      throw new Wrong('must not hold a user: no request can be made to such a URL');
    }
    return value;
  };
const count = (least: number, most: number) => (value: string) => {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < least || number > most) {
    throw new Wrong(`must be a whole number from ${least} to ${most}`);
  }
  return number;
};
const oneOf =
  <const T extends string>(...values: T[]) =>
  (value: string): T => {
    if (!values.includes(value as T)) throw new Wrong(`must be one of ${values.join(', ')}`);
    return value as T;
  };
const names = (value: string) => {
  const list = value.split(',').map((each) => each.trim());
  if (list.some((each) => !/^[a-z][a-z0-9-]*$/.test(each))) {
    throw new Wrong('must be names of functions, separated by commas');
  }
  return list;
};
const extensions = (value: string): Record<string, string> => {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    throw new Wrong('must be JSON');
  }
  const given = (parsed as { extensions?: unknown } | null)?.extensions ?? {};
  if (
    typeof given !== 'object' ||
    given === null ||
    Object.entries(given).some(
      ([name, each]) => !/^[a-z0-9]+$/.test(name) || typeof each !== 'string',
    )
  ) {
    throw new Wrong(
      'must be {"extensions": {"name": "text"}}, names of lower-case letters and digits',
    );
  }
  return given as Record<string, string>;
};

/** Everything that can be configured. Names carry their unit. */
export const SETTINGS = {
  DATABASE_URL: {
    meaning: 'state database (PostgreSQL 18 or newer)',
    fallback: null,
    read: url('postgres:', 'postgresql:'),
  },
  FUNCTIONS: {
    meaning: 'functions this process serves, separated by commas; all of them unless set',
    fallback: null,
    read: names,
  },
  HOST: { meaning: 'address to listen on', fallback: '0.0.0.0', read: text },
  PORT: { meaning: 'port to listen on', fallback: '8080', read: count(0, 65_535) },
  LOG_LEVEL: {
    meaning: 'lines of this level and above, on standard error',
    fallback: 'info',
    read: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  },
  CONCURRENCY: {
    meaning: 'handlers at a time in this process',
    fallback: '16',
    read: count(1, 1000),
  },
  WRITERS: { meaning: 'connections that file events', fallback: '2', read: count(1, 16) },
  QUEUE_MIB: {
    meaning: 'events that may wait for the database; beyond it 503',
    fallback: '64',
    read: count(1, 4096),
  },
  BODY_LIMIT_MIB: {
    meaning: "largest event; must be above the topic's `max.message.bytes`",
    fallback: '16',
    read: count(1, 512),
  },
  REQUEST_TIMEOUT_SECONDS: {
    meaning: 'a request must have arrived in whole by then',
    fallback: '60',
    read: count(1, 3600),
  },
  STATEMENT_TIMEOUT_SECONDS: {
    meaning: "a statement of Muster's own may take so long",
    fallback: '15',
    read: count(1, 600),
  },
  LEASE_SECONDS: {
    meaning: 'work of a killed pod goes on elsewhere after this time',
    fallback: '10',
    read: count(1, 600),
  },
  CLAIM_SECONDS: {
    meaning: 'how often due runs, deadlines and events are looked for',
    fallback: '1',
    read: count(1, 60),
  },
  DEADLINE_GRACE_SECONDS: {
    meaning: 'deadlines are held back until intake was idle so long, or served six times as long',
    fallback: '10',
    read: count(0, 3600),
  },
  DRAIN_SECONDS: {
    meaning: 'at SIGTERM handlers may go on so long; then their runs go back',
    fallback: '25',
    read: count(0, 3600),
  },
  TOMBSTONE_DAYS: {
    meaning: "deleted rows are remembered so long; must be above the topic's retention",
    fallback: '30',
    read: count(1, 3650),
  },
  K_SINK: {
    meaning:
      'URL that outgoing events are posted to (a SinkBinding sets it); standard output unless set',
    fallback: null,
    read: url('http:', 'https:'),
  },
  K_CE_OVERRIDES: {
    meaning: 'extensions for outgoing events, as a SinkBinding sets them',
    fallback: null,
    read: extensions,
  },
  EXIT_WITH_STDIN: {
    meaning: '`1`: stop when standard input ends, for a parent process that may be killed',
    fallback: '0',
    read: oneOf('0', '1'),
  },
} as const satisfies Record<string, Setting>;

type Name = keyof typeof SETTINGS;
type Value<N extends Name> = ReturnType<(typeof SETTINGS)[N]['read']>;

/** The configuration of a process; null where nothing is set and nothing is the default. */
export type Config = {
  readonly [N in Name]: (typeof SETTINGS)[N]['fallback'] extends null ? Value<N> | null : Value<N>;
} & { readonly DATABASE_URL: string; readonly FUNCTIONS: readonly string[] };

/** One message with every problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Reads the environment; throws {@link ConfigError}. Values of secrets never enter its message. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const problems: string[] = [];
  const entries = Object.entries<Setting>(SETTINGS).map(([name, setting]) => {
    const given = env[name]?.trim() || setting.fallback;
    try {
      return [name, given === null ? null : setting.read(given)];
    } catch (error) {
      if (!(error instanceof Wrong)) throw error;
      const secret = name === 'DATABASE_URL' || given?.includes('@') === true;
      problems.push(`${name} ${error.message}${secret ? '' : `, not '${given}'`}`);
      return [name, null];
    }
  });
  const config = Object.fromEntries(entries) as Record<string, unknown>;
  if (
    config['DATABASE_URL'] === null &&
    !problems.some((each) => each.startsWith('DATABASE_URL'))
  ) {
    problems.push('DATABASE_URL is not set: postgres://user:password@host:port/database');
  }
  const known = knownFunctions();
  config['FUNCTIONS'] ??= known;
  for (const name of config['FUNCTIONS'] as string[]) {
    if (!known.includes(name))
      problems.push(`FUNCTIONS names '${name}', which is not in functions/ (${known.join(', ')})`);
  }
  if (problems.length > 0)
    throw new ConfigError(`wrong configuration:\n  ${problems.join('\n  ')}`);
  return Object.freeze(config) as Config;
}

/** The functions that are there: the files `functions/<name>.ts`. */
export function knownFunctions(): string[] {
  return readdirSync(new URL('../functions/', import.meta.url), { withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.[jt]s$/.test(entry.name))
    .map((entry) => entry.name.replace(/\.[jt]s$/, ''))
    .toSorted();
}
