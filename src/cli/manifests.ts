import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readConfig, requireFunctions } from '../config/config.ts';
import { loadFunctions } from '../definitions/load-functions.ts';
import { unifiedDiff } from '../manifests/diff.ts';
import { ManifestFolder, type PlannedFile } from '../manifests/folder.ts';
import { manifestsOf, obstacle, OWN, type ManifestOptions } from '../manifests/manifests.ts';
import { printResult, type JsonOption } from './print-result.ts';
import { WrongUse } from './wrong-use.ts';

export interface ManifestCommandOptions extends JsonOption {
  readonly out: string;
  readonly namespace: string;
  readonly image: string;
  readonly brokers: string;
  readonly topicPrefix: string;
  readonly intake: string;
  readonly broker: string;
  readonly workload: string;
  readonly check?: true;
  readonly force?: true;
  readonly prune?: true;
}

/** Writes the manifests of functions, by default of all, except over files that have been edited. */
export async function run(
  names: readonly string[],
  options: ManifestCommandOptions,
): Promise<void> {
  const { out, check, force, prune } = options;
  if (check === true && (force ?? prune) !== undefined) {
    throw new WrongUse('--check writes nothing: it goes neither with --force nor with --prune');
  }
  if (statSync(out, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new WrongUse(`--out: ${out} is a file: name a folder`);
  }
  const functions = names.length === 0 ? undefined : names.join(',');
  const env = { ...process.env, DATABASE_URL: 'postgres://unnamed', FUNCTIONS: functions };
  const config = readConfig({ ...env, KAFKA_BROKERS: options.brokers });
  requireFunctions(config);
  const wanted = checked(options, config.KAFKA_BROKERS ?? OWN.brokers);
  const definitions = await loadFunctions(config.FUNCTIONS);
  const wrong = obstacle(definitions, wanted);
  if (wrong !== null) throw new WrongUse(wrong);

  const folder = new ManifestFolder(out);
  // the kustomization lists the files of all functions, also when it is written for some
  const chosen = names.length === 0 ? null : definitions.map(({ name }) => name);
  const beside = chosen === null ? [] : folder.filesBeside(chosen);
  const plan = folder.plan(manifestsOf(definitions, wanted, beside), chosen ?? 'all', {
    force: force === true,
    prune: prune === true,
  });
  const conflicts = plan.filter(({ state }) => state === 'conflict');
  if (conflicts.length === 0 && check !== true) folder.apply(plan);
  for (const each of plan) print(options, each, check === true || each.state === 'conflict');
  const left = plan.filter(({ state }) => state === 'obsolete' || state === 'deleted');
  if (left.length > 0 && options.json !== true) {
    process.stderr.write(explainLeft(options, left));
  }
  if (check === true) requireEqual(out, plan);
  else if (conflicts.length > 0) throw new Error(explainConflicts(out, conflicts));
}

function checked(
  { namespace, image, topicPrefix, intake, workload, broker }: ManifestCommandOptions,
  brokers: readonly string[],
): ManifestOptions {
  if (intake !== 'http' && intake !== 'kafka' && intake !== 'wal') {
    throw new WrongUse(`--intake must be http, kafka or wal, not '${intake}'`);
  }
  if (workload !== 'deployment' && workload !== 'knative-service') {
    throw new WrongUse(`--workload must be deployment or knative-service, not '${workload}'`);
  }
  return { namespace, image, brokers, topicPrefix, intake, workload, broker };
}

function print(
  options: ManifestCommandOptions,
  { file, state, before, after }: PlannedFile,
  withDiff: boolean,
): void {
  const path = join(options.out, file);
  const isDifferent = state === 'changed' || state === 'conflict';
  const diff = withDiff && isDifferent ? unifiedDiff(path, before!, after!) : '';
  const result = { file: path, state, ...(diff !== '' && { diff }) };
  const text = `${state.padEnd(8)} ${path}${state === 'kept' ? ', which has been edited' : ''}`;
  printResult(options, result, `${text}\n${diff}`.replace(/\n$/, ''));
}

/** Throws if a run without --check would change something, or files are left over. */
function requireEqual(out: string, plan: readonly PlannedFile[]): void {
  const different = plan.filter(({ state }) => state !== 'same' && state !== 'kept');
  if (different.length === 0) return;
  throw new Error(
    `${pathsOf(out, different)}: not as generated with these options. Run muster manifests without --check, with --prune if files are left over, and commit the result`,
  );
}

function explainConflicts(out: string, conflicts: readonly PlannedFile[]): string {
  return `nothing was written, because these files have been edited and would be overwritten: ${pathsOf(out, conflicts)}. Make the changes in a kustomization of your own with ${out} as a resource (docs/your-repository.md), then overwrite the files with --force`;
}

/** Explains how to remove what is no longer generated: files can be deleted, but their objects are in the cluster. */
function explainLeft(
  { out, namespace }: ManifestCommandOptions,
  left: readonly PlannedFile[],
): string {
  const obsolete = left.filter(({ state }) => state === 'obsolete');
  const objects = left
    .map(({ before }) => objectIn(before!))
    // a namespace has more in it than what is generated
    .filter((each) => each !== null && !each.startsWith('namespace/'));
  const lines = [
    ...(obsolete.length === 0
      ? []
      : [
          `No longer generated: ${pathsOf(out, obsolete)}. --prune deletes files that have not been edited, --prune --force all.`,
        ]),
    ...(objects.length === 0
      ? []
      : [
          `If they were applied, delete their objects: kubectl --namespace ${namespace} delete ${objects.join(' ')}`,
        ]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

/** Names the object of a manifest as kubectl does, such as `deployment.apps/orders`; null if the text has none. */
function objectIn(text: string): string | null {
  const [, version] = /^apiVersion: (\S+)$/m.exec(text) ?? [];
  const [, kind] = /^kind: (\w+)$/m.exec(text) ?? [];
  const [, name] = /^metadata:\n(?: +.*\n)*? {2}name: (\S+)$/m.exec(text) ?? [];
  if (version === undefined || kind === undefined || name === undefined) return null;
  const [group] = version.includes('/') ? version.split('/') : [''];
  return `${kind.toLowerCase()}${group === '' ? '' : `.${group}`}/${name}`;
}

function pathsOf(out: string, files: readonly PlannedFile[]): string {
  return files.map(({ file }) => join(out, file)).join(', ');
}
