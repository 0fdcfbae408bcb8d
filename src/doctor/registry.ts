import { Registry, type RegistryOptions, RegistryUnavailable } from '../schemas/registry.ts';
import { fine, problem, toResult, type Finding, type Group } from './finding.ts';

const REACHABLE = { id: 'registry.reachable', title: 'reachable' };

/** Asks the schema registry which types of schemas it stores. */
export async function registryGroup(options: RegistryOptions): Promise<Group> {
  const registry = new Registry(options);
  return {
    group: 'registry',
    at: options.url,
    results: [toResult(REACHABLE, await reach(registry))],
  };
}

async function reach(registry: Registry): Promise<Finding> {
  const started = performance.now();
  try {
    const types = await registry.types();
    return fine(`${types.join(', ')}, in ${Math.round(performance.now() - started)} ms`);
  } catch (error) {
    if (!(error instanceof RegistryUnavailable)) throw error;
    return problem(error.message, remedyFor(error));
  }
}

function remedyFor({ status, message }: RegistryUnavailable): string {
  if (status === 401 || status === 403) {
    return 'set SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN_FILE';
  }
  if (status !== null) return 'correct SCHEMA_REGISTRY_URL, or repair the registry';
  if (/certificate|self-signed|unable to/i.test(message)) {
    return 'set SCHEMA_REGISTRY_CA_FILE to the CA of the registry';
  }
  return 'correct SCHEMA_REGISTRY_URL; a NetworkPolicy may block the connection';
}
