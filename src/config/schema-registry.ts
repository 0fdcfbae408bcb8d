import type { Config } from './config.ts';

/** Returns how the schema registry is reached; null if none is configured. */
export function registryOptionsOf(config: Config) {
  const url = config.SCHEMA_REGISTRY_URL;
  if (url === null) return null;
  return {
    url,
    username: config.SCHEMA_REGISTRY_USERNAME,
    password: config.SCHEMA_REGISTRY_PASSWORD,
    tokenFile: config.SCHEMA_REGISTRY_TOKEN_FILE,
    caFile: config.SCHEMA_REGISTRY_CA_FILE,
  };
}
