import { deployed, type ClusterContext } from './workloads.ts';
import type { Decimals } from '../source/column-forms.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { conditionOf, type KafkaConnector, listed, reasonOf } from './objects.ts';
import { tablesOf } from '../source/publication.ts';

const DEBEZIUM = 'io.debezium.connector.postgresql.PostgresConnector';
const CONVERTERS = [
  'org.apache.kafka.connect.json.JsonConverter',
  'io.debezium.converters.CloudEventsConverter',
];

/** Settings that Muster's guarantees depend on, and what goes wrong without them. */
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
    'the default plugin is not part of PostgreSQL',
  ],
  [
    'skipped.operations',
    (value) => value === 'none',
    'none',
    'truncates are not sent: rows of emptied tables stay in their sets',
  ],
  [
    'snapshot.mode',
    (value) => value === 'when_needed' || value === 'always',
    'when_needed',
    'once its slot is lost or dropped, it takes no snapshot and fails permanently',
  ],
  [
    'publication.autocreate.mode',
    (value) => value === 'filtered' || value === 'disabled',
    'filtered',
    'a publication for all tables includes those of Muster',
  ],
  [
    'heartbeat.interval.ms',
    (value) => Number(value ?? 0) > 0,
    '10000',
    'quiet tables make a busy database retain its log',
  ],
  [
    'value.converter',
    (value) => value === undefined || CONVERTERS.includes(value),
    CONVERTERS[0]!,
    'its messages are not JSON and are parked',
  ],
];

const FLATTENING = 'io.debezium.transforms.ExtractNewRecordState';
/** Fields that a flattened row must carry in addition to its columns. */
const ADDED = ['op', 'table', 'lsn', 'schema', 'name', 'connector', 'snapshot', 'source.ts_ms'];

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

/** Returns problems with Debezium connectors of other databases whose topics these functions' sources read. */
function foreign(context: ClusterContext, all: readonly KafkaConnector[]): Finding[] {
  const sources = deployed(context).flatMap((each) => each.sources);
  return all
    .filter(({ spec }) => spec.class?.startsWith('io.debezium.') && spec.class !== DEBEZIUM)
    .flatMap((connector) => {
      const prefix = setting(connector, 'topic.prefix');
      const source = sources.find(({ spec }) =>
        spec.topics.some((topic) => topic.startsWith(`${prefix}.`)),
      );
      if (prefix === undefined || source === undefined) return [];
      const { name, namespace = 'default' } = source.metadata;
      return [
        problem(
          `kafkasource/${name} reads topics of kafkaconnector/${connector.metadata.name}, a ${connector.spec.class!.split('.').at(-1)}: only changes of PostgreSQL are supported, so these are parked as unsupported-source`,
          `kubectl -n ${namespace} edit kafkasource ${name}   # remove the topics ${prefix}.* from spec.topics`,
        ),
      ];
    });
}

/** Returns the Debezium connectors that read a table of these functions. */
function readers({ objects, specifications }: ClusterContext): KafkaConnector[] {
  const tables = tablesOf(specifications);
  return listed(objects.connectors).filter(
    (each) => each.spec.class === DEBEZIUM && reads(each, tables),
  );
}

/** Returns how these connectors send decimals; null if there is no connector. */
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
  const wrong = SETTINGS.filter(([what, isFine]) => !isFine(setting(connector, what))).map(
    ([what, , value, why]) => [what, value, why] as const,
  );
  if (needsUnknownTypes && setting(connector, 'include.unknown.datatypes') !== 'true') {
    wrong.push([
      'include.unknown.datatypes',
      'true',
      'columns that a function lists in base64 are missing',
    ]);
  }
  wrong.push(...flattening(connector));
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
function flattening(connector: KafkaConnector): [what: string, value: string, why: string][] {
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
    const missing = ADDED.filter(
      (field) => !added.includes(field) && !added.includes(`source.${field}`),
    );
    if (missing.length > 0) {
      const why = `rows without ${missing.join(', ')} are parked`;
      wrong.push([`${prefix}add.fields`, ADDED.join(','), why]);
    }
    return wrong;
  });
}
