import { readConfig } from '../config/config.ts';
import { examine, type Whereabouts } from '../doctor/examine.ts';
import { isClusterConfigured } from '../doctor/cluster/examine.ts';
import { countOf, toJson, toText } from '../doctor/report.ts';
import type { JsonOption } from './print-result.ts';
import { wholeNumber } from './number.ts';
import { kafkaConfigAt } from './kafka.ts';
import { checkSourceUrl } from './source-url.ts';

export interface DoctorOptions extends JsonOption {
  readonly source?: string;
  readonly publication: string;
  readonly slot: string;
  readonly brokers?: string;
  readonly topicPrefix?: string;
  readonly decimals?: 'precise' | 'string' | 'double';
  readonly group?: string;
  readonly deadLetters?: string;
  /** undefined if neither `--cluster` nor `--no-cluster` is given */
  readonly cluster?: boolean;
  readonly namespace?: string;
  readonly pods?: string;
}

/** Placeholder for a state database that is not given: everything else can be checked without it. */
const UNNAMED = 'postgres://unnamed';

/** Prints the findings; exit code 1 if one of them is a problem. */
export async function run(options: DoctorOptions): Promise<void> {
  const databaseUrl = process.env['DATABASE_URL']?.trim() || null;
  if (options.brokers !== undefined) kafkaConfigAt(options.brokers);
  const config = readConfig({
    ...process.env,
    DATABASE_URL: databaseUrl ?? UNNAMED,
    KAFKA_BROKERS: options.brokers,
  });
  const groups = await examine(config, { ...whereabouts(options), databaseUrl });
  const { stdout } = process;
  const isColoured = stdout.isTTY && stdout.hasColors();
  stdout.write(options.json ? toJson(groups) : toText(groups, isColoured));
  if (countOf(groups, 'problem') > 0) process.exitCode = 1;
}

function whereabouts(options: DoctorOptions): Omit<Whereabouts, 'databaseUrl'> {
  const { source, cluster, namespace, topicPrefix, group, deadLetters, pods } = options;
  checkSourceUrl(source, 'its catalog, publication and replication slot');
  return {
    sourceUrl: source ?? null,
    cluster:
      cluster === undefined
        ? isClusterConfigured(process.env)
          ? 'detected'
          : 'no'
        : cluster
          ? 'requested'
          : 'no',
    namespace: namespace ?? null,
    publication: options.publication,
    slot: options.slot,
    topicPrefix: topicPrefix ?? null,
    decimals: options.decimals ?? null,
    group: group ?? null,
    deadLetters: deadLetters ?? null,
    pods: pods === undefined ? null : wholeNumber('--pods', pods),
  };
}
