import { deployed, type ClusterContext } from './workloads.ts';
import type { Decimals } from '../source/column-forms.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { KINDS } from './connector-settings.ts';
import { conditionOf, type KafkaConnector, listed, reasonOf } from './objects.ts';
import { tablesOf } from '../../definitions/streams.ts';

const FLATTENING = 'io.debezium.transforms.ExtractNewRecordState';

export const connectors: Check<ClusterContext> = {
  id: 'cluster.connectors',
  title: 'connectors',
  run(context) {
    const { objects, specifications } = context;
    const mine = readers(context);
    const others = foreign(context, listed(objects.connectors));
    if (mine.length + others.length === 0) {
      return [unchecked('no KafkaConnector reads a table of these functions')];
    }
    const own = mine.flatMap((connector) => {
      const findings = checkConnector(
        connector,
        specifications.some(({ parts }) => parts.some((part) => part.base64.length > 0)),
      );
      const { namespace, name } = connector.metadata;
      return findings.length > 0
        ? findings
        : [fine(`kafkaconnector/${name} in ${namespace} is running`)];
    });
    return [...own, ...others];
  },
};

/** Returns problems with Debezium connectors of unsupported databases whose topics these functions' sources read. */
function foreign(context: ClusterContext, all: readonly KafkaConnector[]): Finding[] {
  const sources = deployed(context).flatMap((each) => each.sources);
  return all
    .filter(({ spec }) => spec.class?.startsWith('io.debezium.') && !KINDS.has(spec.class))
    .flatMap((connector) => {
      const prefix = setting(connector, 'topic.prefix');
      const source = sources.find(({ spec }) =>
        spec.topics.some((topic) => topic.startsWith(`${prefix}.`)),
      );
      if (prefix === undefined || source === undefined) return [];
      const { name, namespace = 'default' } = source.metadata;
      return [
        problem(
          `kafkasource/${name} reads topics of kafkaconnector/${connector.metadata.name}, a ${connector.spec.class!.split('.').at(-1)}: only changes of ${databases()} are supported, so these are parked as unsupported-source`,
          `kubectl -n ${namespace} edit kafkasource ${name}   # remove the topics ${prefix}.* from spec.topics`,
        ),
      ];
    });
}

/** Returns the Debezium connectors that read a table of these functions. */
function readers({ objects, specifications }: ClusterContext): KafkaConnector[] {
  const tables = tablesOf(specifications).toSorted();
  return listed(objects.connectors).filter(
    (each) => KINDS.has(each.spec.class ?? '') && reads(each, tables),
  );
}

/** Such as "PostgreSQL, MySQL and MariaDB". */
function databases(): string {
  const names = [...KINDS.values()].map(({ database }) => database);
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

/** Returns how the connector for PostgreSQL sends decimals; null if there is none. */
export function decimalsOf(context: ClusterContext): Decimals | null {
  if ('why' in context.objects.connectors) return null;
  const connector = readers(context).find(
    ({ spec }) => KINDS.get(spec.class!)!.database === 'PostgreSQL',
  );
  if (connector === undefined) return null;
  return (setting(connector, 'decimal.handling.mode') as Decimals | undefined) ?? 'precise';
}

function setting({ spec }: KafkaConnector, name: string): string | undefined {
  const value = spec.config?.[name];
  return value === undefined ? undefined : String(value);
}

function reads(connector: KafkaConnector, tables: readonly string[]): boolean {
  const included = setting(connector, 'table.include.list')
    ?.split(',')
    .map((each) => each.trim());
  return included === undefined || tables.some((table) => included.includes(table));
}

function checkConnector(connector: KafkaConnector, needsUnknownTypes: boolean): Finding[] {
  const { name, namespace = 'default' } = connector.metadata;
  const kubectl = `kubectl -n ${namespace}`;
  const findings: Finding[] = [];
  if (connector.spec.pause === true || ['paused', 'stopped'].includes(connector.spec.state ?? '')) {
    findings.push(
      problem(
        `kafkaconnector/${name} is paused: the log of its source grows`,
        `${kubectl} patch kafkaconnector ${name} --type merge -p '${JSON.stringify({ spec: { ...(connector.spec.pause === true && { pause: null }), state: 'running' } })}'`,
      ),
    );
  } else {
    const ready = conditionOf(connector, 'Ready');
    const broken =
      connector.status?.connectorStatus?.tasks?.filter(({ state }) => state === 'FAILED') ?? [];
    if (broken.length > 0) {
      findings.push(
        problem(
          `a task of kafkaconnector/${name} has failed: ${broken[0]!.trace?.split('\n')[0] ?? 'see its log'}`,
          `${kubectl} annotate kafkaconnector ${name} strimzi.io/restart-task=${broken[0]!.id}`,
        ),
      );
    } else if (ready?.status !== 'True') {
      findings.push(
        problem(
          `kafkaconnector/${name} is not ready: ${reasonOf(ready)}`,
          `${kubectl} describe kafkaconnector ${name}`,
        ),
      );
    }
  }
  const kind = KINDS.get(connector.spec.class!)!;
  const wrong = kind.settings
    .filter(([what, isFine]) => !isFine(setting(connector, what)))
    .map(([what, , value, why]) => [what, value, why] as const);
  const sendsUnknown = kind.database !== 'PostgreSQL' || !needsUnknownTypes;
  if (!sendsUnknown && setting(connector, 'include.unknown.datatypes') !== 'true') {
    wrong.push([
      'include.unknown.datatypes',
      'true',
      'columns that a function lists in base64 are missing',
    ]);
  }
  wrong.push(...flattening(connector, kind.added));
  for (const [what, value, why] of wrong) {
    findings.push(
      problem(
        `${what} of kafkaconnector/${name} is ${setting(connector, what) ?? 'not set'}: ${why}`,
        `${kubectl} patch kafkaconnector ${name} --type merge -p '${JSON.stringify({ spec: { config: { [what]: value } } })}'`,
      ),
    );
  }
  return findings;
}

/** Returns problems with the settings of transforms that flatten the envelope to the row. */
function flattening(
  connector: KafkaConnector,
  required: readonly string[],
): [what: string, value: string, why: string][] {
  const aliases = setting(connector, 'transforms')?.split(',') ?? [];
  return aliases.flatMap((alias) => {
    const prefix = `transforms.${alias.trim()}.`;
    if (setting(connector, `${prefix}type`) !== FLATTENING) return [];
    const wrong: [string, string, string][] = [];
    const mode = `${prefix}delete.tombstone.handling.mode`;
    // before Debezium 3.2
    const isOldRewrite = setting(connector, `${prefix}delete.handling.mode`) === 'rewrite';
    const deletes = setting(connector, mode) ?? (isOldRewrite ? 'rewrite' : 'tombstone');
    if (!deletes.startsWith('rewrite')) {
      wrong.push([mode, 'rewrite', 'deletes are not sent: deleted rows stay in their sets']);
    }
    const added = (setting(connector, `${prefix}add.fields`) ?? '')
      .split(',')
      .map((field) => field.trim());
    const missing = required.filter(
      (field) => !added.includes(field) && !added.includes(`source.${field}`),
    );
    if (missing.length > 0) {
      const why = `rows without ${missing.join(', ')} are parked`;
      wrong.push([`${prefix}add.fields`, required.join(','), why]);
    }
    return wrong;
  });
}
