import type { ClusterContext } from './cluster.ts';
import type { Decimals } from './column-forms.ts';
import { type Check, fine, problem, unchecked, type Finding } from './finding.ts';
import { conditionOf, type KafkaConnector, listed, reasonOf } from './objects.ts';
import { tablesOf } from './publication.ts';

const DEBEZIUM = 'io.debezium.connector.postgresql.PostgresConnector';

/** Settings that Muster's promises rest on, and what goes wrong without them. */
const SETTINGS: readonly [
  name: string,
  isFine: (value: string | undefined) => boolean,
  set: string,
  why: string,
][] = [
  [
    'plugin.name',
    (value) => value === 'pgoutput',
    'pgoutput',
    'the default plugin is no part of PostgreSQL',
  ],
  [
    'skipped.operations',
    (value) => value === 'none',
    'none',
    'truncates are not sent: emptied tables stay full of sets',
  ],
  [
    'snapshot.mode',
    (value) => value === 'when_needed' || value === 'always',
    'when_needed',
    'once its slot is lost or dropped it takes no snapshot, and fails for good',
  ],
  [
    'publication.autocreate.mode',
    (value) => value === 'filtered' || value === 'disabled',
    'filtered',
    'a publication for all tables holds those of Muster too',
  ],
  [
    'heartbeat.interval.ms',
    (value) => Number(value ?? 0) > 0,
    '10000',
    'quiet tables hold back the log of a busy database',
  ],
];

export const connectors: Check<ClusterContext> = {
  id: 'cluster.connectors',
  title: 'connectors',
  run(context) {
    const { specifications } = context;
    const mine = readers(context);
    if (mine.length === 0) return [unchecked('no KafkaConnector reads a table of these functions')];
    return mine.flatMap((connector) => {
      const findings = judge(
        connector,
        specifications.some(({ parts }) => parts.some((part) => part.base64.length > 0)),
      );
      const { namespace, name } = connector.metadata;
      return findings.length > 0 ? findings : [fine(`kafkaconnector/${name} in ${namespace} runs`)];
    });
  },
};

/** Debezium's connectors that read a table of these functions. */
function readers({ objects, specifications }: ClusterContext): KafkaConnector[] {
  const tables = tablesOf(specifications);
  return listed(objects.connectors).filter(
    (each) => each.spec.class === DEBEZIUM && reads(each, tables),
  );
}

/** How these connectors send decimals; null where there is none to be seen. */
export function decimalsOf(context: ClusterContext): Decimals | null {
  if ('why' in context.objects.connectors) return null;
  const [connector] = readers(context);
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

function judge(connector: KafkaConnector, needsUnknownTypes: boolean): Finding[] {
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
  const wrong = SETTINGS.filter(([what, isFine]) => !isFine(setting(connector, what))).map(
    ([what, , value, why]) => [what, value, why] as const,
  );
  if (needsUnknownTypes && setting(connector, 'include.unknown.datatypes') !== 'true') {
    wrong.push([
      'include.unknown.datatypes',
      'true',
      'columns that a function names in base64 are missing',
    ]);
  }
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
