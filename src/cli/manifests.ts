import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readConfig, requireFunctions } from '../config/config.ts';
import { loadFunctions } from '../definitions/load-functions.ts';
import { manifestsOf, obstacle, OWN } from '../manifests/manifests.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface ManifestCommandOptions extends JsonOption {
  readonly out: string;
  readonly namespace: string;
  readonly image: string;
  readonly brokers: string;
  readonly topicPrefix: string;
  readonly intake: string;
  readonly workload: string;
}

/** Writes the manifests of functions, by default of all; files of the same content are left as they are. */
export async function run(
  names: readonly string[],
  options: ManifestCommandOptions,
): Promise<void> {
  const { out, namespace, image, topicPrefix, intake, workload } = options;
  if (intake !== 'http' && intake !== 'kafka') {
    throw new WrongUse(`--intake must be http or kafka, not '${intake}'`);
  }
  if (workload !== 'deployment' && workload !== 'knative-service') {
    throw new WrongUse(`--workload must be deployment or knative-service, not '${workload}'`);
  }
  const functions = names.length === 0 ? undefined : names.join(',');
  const env = { ...process.env, DATABASE_URL: 'postgres://unnamed', FUNCTIONS: functions };
  const config = readConfig({ ...env, KAFKA_BROKERS: options.brokers });
  requireFunctions(config);
  const brokers = config.KAFKA_BROKERS ?? OWN.brokers;
  const wanted = { namespace, image, brokers, topicPrefix, intake, workload } as const;
  const definitions = await loadFunctions(config.FUNCTIONS);
  const wrong = obstacle(definitions, wanted);
  if (wrong !== null) throw new WrongUse(wrong);
  const files = manifestsOf(definitions, wanted);
  for (const [file, text] of files) {
    const path = join(out, file);
    // of some functions only: the list of all of them stays
    if (names.length > 0 && file === 'kustomization.yaml' && existsSync(path)) continue;
    const before = existsSync(path) ? readFileSync(path, 'utf8') : null;
    const state = before === null ? 'created' : before === text ? 'same' : 'changed';
    if (state !== 'same') {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    }
    printResult(options, { file: path, state }, `${state.padEnd(8)} ${path}`);
  }
}
