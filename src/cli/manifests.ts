import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readConfig, requireFunctions } from '../config/config.ts';
import { loadFunctions } from '../definitions/load-functions.ts';
import { manifestsOf, OWN } from '../manifests/manifests.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface ManifestCommandOptions extends JsonOption {
  readonly out: string;
  readonly namespace: string;
  readonly image: string;
  readonly brokers: string;
  readonly topicPrefix: string;
  readonly intake: string;
}

/** Writes the manifests of functions, by default of all; files of the same content are left as they are. */
export async function run(
  names: readonly string[],
  options: ManifestCommandOptions,
): Promise<void> {
  const { out, namespace, image, topicPrefix, intake } = options;
  if (intake !== 'http' && intake !== 'kafka') {
    throw new WrongUse(`--intake must be http or kafka, not '${intake}'`);
  }
  const functions = names.length === 0 ? undefined : names.join(',');
  const env = { ...process.env, DATABASE_URL: 'postgres://unnamed', FUNCTIONS: functions };
  const config = readConfig({ ...env, KAFKA_BROKERS: options.brokers });
  requireFunctions(config);
  const files = manifestsOf(await loadFunctions(config.FUNCTIONS), {
    namespace,
    image,
    brokers: config.KAFKA_BROKERS ?? OWN.brokers,
    topicPrefix,
    intake,
  });
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
