import { closestMatch } from 'leven';
import { fileURLToPath } from 'node:url';
import { functionsFolder, inFunctions, knownFunctions } from '../definitions/function-files.ts';
import { otlpFileProblems } from './otlp-files.ts';
import { InvalidValue, type Setting } from './setting.ts';
import { SETTINGS, type SettingName } from './settings.ts';

type Value<N extends SettingName> = ReturnType<(typeof SETTINGS)[N]['read']>;

/** The configuration of a process. A variable that is not set and has no default is null. */
export type Config = {
  readonly [N in SettingName]: (typeof SETTINGS)[N]['fallback'] extends null
    ? Value<N> | null
    : Value<N>;
} & { readonly DATABASE_URL: string; readonly FUNCTIONS: readonly string[] };

/** Thrown for an invalid configuration; the message lists every problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** Pairs of settings of which the first has no effect without the second. */
const REQUIRES: readonly (readonly [SettingName, SettingName])[] = [
  ['SINK_TOPIC', 'KAFKA_BROKERS'],
  ['KAFKA_CA_FILE', 'KAFKA_TLS'],
  ['KAFKA_CERT_FILE', 'KAFKA_TLS'],
  ['KAFKA_CERT_FILE', 'KAFKA_KEY_FILE'],
  ['KAFKA_KEY_FILE', 'KAFKA_CERT_FILE'],
  ['KAFKA_SASL_MECHANISM', 'KAFKA_USERNAME'],
  ['KAFKA_USERNAME', 'KAFKA_PASSWORD'],
  ['KAFKA_PASSWORD', 'KAFKA_SASL_MECHANISM'],
  ['SCHEMA_REGISTRY_USERNAME', 'SCHEMA_REGISTRY_PASSWORD'],
  ['SCHEMA_REGISTRY_PASSWORD', 'SCHEMA_REGISTRY_USERNAME'],
  ['SCHEMA_REGISTRY_USERNAME', 'SCHEMA_REGISTRY_URL'],
  ['SCHEMA_REGISTRY_TOKEN_FILE', 'SCHEMA_REGISTRY_URL'],
  ['SCHEMA_REGISTRY_CA_FILE', 'SCHEMA_REGISTRY_URL'],
  ['OIDC_ISSUER', 'OIDC_AUDIENCE'],
  ['OIDC_AUDIENCE', 'OIDC_ISSUER'],
  ['OIDC_SUBJECTS', 'OIDC_ISSUER'],
  ['OIDC_CA_FILE', 'OIDC_ISSUER'],
  ['OIDC_TOKEN_FILE', 'OIDC_ISSUER'],
];

/**
 * Returns a warning for each variable whose name is nearly that of a setting, and which therefore has no effect.
 * The bound is narrow, because most variables of an environment belong to other programs.
 */
export function misspeltSettings(env: NodeJS.ProcessEnv): string[] {
  const settings = Object.keys(SETTINGS);
  return Object.keys(env).flatMap((name) => {
    if (name in SETTINGS || name.length < 5) return [];
    const similar = closestMatch(name, settings, { maxDistance: 2 });
    return similar === undefined ? [] : [`${name} is not a setting; did you mean ${similar}?`];
  });
}

/** The settings that a Kafka client needs. */
export type KafkaConfig = { readonly [N in KafkaName]: Config[N] };
type KafkaName = Extract<SettingName, `KAFKA_${string}`>;
const KAFKA_NAMES = Object.keys(SETTINGS).filter((name) =>
  name.startsWith('KAFKA_'),
) as KafkaName[];

/** Reads the environment. Throws {@link ConfigError}, whose message contains no secret. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const { values, problems } = read(env, Object.keys(SETTINGS) as SettingName[]);
  if (values['DATABASE_URL'] === null && !problems.has('DATABASE_URL')) {
    problems.set(
      'DATABASE_URL',
      'DATABASE_URL is not set: postgres://user:password@host:port/database',
    );
  }
  const sinks = ['SINK_TOPIC', 'K_SINK', 'SINK'].filter((name) => values[name] !== null);
  if (sinks.length > 1) {
    problems.set('SINK', `${sinks.join(' and ')} are both set: events can go to only one of them`);
  }
  if (
    values['SCHEMA_REGISTRY_USERNAME'] !== null &&
    values['SCHEMA_REGISTRY_TOKEN_FILE'] !== null
  ) {
    problems.set(
      'SCHEMA_REGISTRY_TOKEN_FILE',
      'SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_TOKEN_FILE are both set: a request has only one login',
    );
  }
  if (values['INTAKE'] === 'kafka' && values['KAFKA_BROKERS'] === null) {
    problems.set('INTAKE', 'INTAKE is kafka, so KAFKA_BROKERS must be set');
  }
  if (values['INTAKE'] === 'wal' && values['SOURCE_DATABASE_URL'] === null) {
    if (!problems.has('SOURCE_DATABASE_URL')) {
      problems.set('INTAKE', 'INTAKE is wal, so SOURCE_DATABASE_URL must be set');
    }
  }
  const known = knownFunctions();
  values['FUNCTIONS'] ??= known;
  const unknown = (values['FUNCTIONS'] as string[]).filter((name) => !known.includes(name));
  if (unknown.length > 0) {
    problems.set(
      'FUNCTIONS',
      `FUNCTIONS names '${unknown.join("', '")}', which is not in ${inFunctions('')} (${known.join(', ') || 'there is no function'})`,
    );
  }
  return freeze<Config>(values, [...problems.values(), ...otlpFileProblems(env)]);
}

/** Throws {@link ConfigError} if there is no function at all: the folder is likely to be the wrong one. */
export function requireFunctions({ FUNCTIONS }: Config): void {
  if (FUNCTIONS.length > 0) return;
  throw new ConfigError(
    `there is no function in ${fileURLToPath(functionsFolder())}: start in the folder above your functions, or name theirs with --functions`,
  );
}

/** Reads only the settings of Kafka, for commands that use no database. Throws {@link ConfigError}. */
export function readKafkaConfig(env: NodeJS.ProcessEnv): KafkaConfig {
  const { values, problems } = read(env, KAFKA_NAMES);
  return freeze<KafkaConfig>(values, [...problems.values()]);
}

function read(env: NodeJS.ProcessEnv, names: readonly SettingName[]) {
  const values: Record<string, unknown> = {};
  const problems = new Map<SettingName, string>();
  for (const name of names) {
    const setting: Setting = SETTINGS[name];
    const given = env[name]?.trim() || setting.fallback;
    values[name] = null;
    try {
      if (given !== null) values[name] = setting.read(given);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      // Outside of `secret` settings, an '@' may follow a password in a URL.
      const secret = setting.secret === true || given?.includes('@') === true;
      problems.set(name, `${name} ${error.message}${secret ? '' : `, not '${given}'`}`);
    }
  }
  const isSet = (name: SettingName) => values[name] !== null && values[name] !== '0';
  for (const [name, other] of REQUIRES) {
    if (!names.includes(name) || !isSet(name) || isSet(other) || problems.has(other)) continue;
    problems.set(name, `${name} is set, so ${other} must be too`);
  }
  return { values, problems };
}

function freeze<T>(values: Record<string, unknown>, problems: readonly string[]): T {
  if (problems.length > 0) {
    throw new ConfigError(`invalid configuration:\n  ${problems.join('\n  ')}`);
  }
  return Object.freeze(values) as T;
}
