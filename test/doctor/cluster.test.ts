import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import recordings from '../../functions/recordings.ts';
import { services, workloads, type ClusterContext } from '../../src/doctor/cluster/workloads.ts';
import { connectors } from '../../src/doctor/cluster/connectors.ts';
import { scaling, triggers } from '../../src/doctor/cluster/scaling.ts';
import { delivery, sources } from '../../src/doctor/cluster/sources.ts';
import { clusterGroup, viewOf } from '../../src/doctor/cluster/examine.ts';
import type { Check } from '../../src/doctor/finding.ts';
import { specify } from '../../src/definitions/specification.ts';
import { reportOf } from './examination.ts';

/**
 * The manifests as an API server returned them, limited to the fields that the checks may read, with the
 * conditions that the controllers of Kubernetes, Knative, KEDA and Strimzi write when everything is healthy.
 */
const HEALTHY = readFileSync(new URL('objects.json', import.meta.url), 'utf8');

// tests break these objects in ways that their types do not allow
type Objects = any;

function contextOf(damage: (objects: Objects) => void = () => {}): ClusterContext {
  const objects: Objects = JSON.parse(HEALTHY);
  damage(objects);
  return {
    namespace: 'muster',
    objects,
    functions: ['recordings', 'travelers'],
    specifications: [specify(recordings)],
  };
}

/** Returns the object with this name. */
function named(list: Objects, name = 'recordings'): Objects {
  return list.find((each: Objects) => each.metadata.name === name);
}

function set(object: Objects, type: string, status: string, message: string): void {
  const conditions = object.status.conditions.filter((each: Objects) => each.type !== type);
  object.status.conditions = [...conditions, { type, status, reason: 'Because', message }];
}

const lagOf = (objects: Objects) => named(objects.scaledObjects).spec.triggers[0].metadata;

test('a deployment made from the manifests is fine', async () => {
  const { results, at } = await clusterGroup(viewOf('https://here', contextOf()), true);
  expect(at).toBe('https://here, namespace muster');
  expect(results.map(({ check, state, message }) => [check, state, message])).toEqual([
    ['cluster.reachable', 'fine', 'the API server answers'],
    ['cluster.workloads', 'fine', 'recordings: deployment/recordings'],
    ['cluster.workloads', 'fine', 'travelers: deployment/travelers'],
    ['cluster.services', 'fine', 'recordings: service/recordings, 80 → 8080'],
    [
      'cluster.sources',
      'fine',
      'recordings: kafkasource/recordings is ready, postgres.datastore.signal',
    ],
    [
      'cluster.delivery',
      'fine',
      'kafkasource/recordings: 600 retries, linear; then recordings-dead',
    ],
    ['cluster.scaling', 'fine', 'scaledobject/recordings is ready, idle, 0 to 8 pods'],
    ['cluster.scaling', 'fine', 'scaledobject/travelers is ready, idle, 0 to 12 pods'],
    ['cluster.triggers', 'fine', 'those of scaledobject/recordings watch what recordings reads'],
    ['cluster.triggers', 'fine', 'those of scaledobject/travelers watch what travelers reads'],
    ['cluster.connectors', 'fine', 'kafkaconnector/muster in kafka is running'],
  ]);
});

test('the other checks take names from the cluster', () => {
  const { groupOf, ...view } = viewOf('https://here', contextOf());
  expect(view).toMatchObject({
    wanted: { pods: 20, connections: 8 * 23 + 12 * 8 },
    topicPrefix: 'postgres',
    deadLetters: ['recordings-dead'],
  });
  expect([groupOf('recordings'), groupOf('travelers')]).toEqual(['muster-recordings', null]);
});

const ADDED = 'op,table,lsn,schema,name,connector,snapshot,source.ts_ms';

function flatten(objects: Objects, settings: Record<string, string>): void {
  const { config } = objects.connectors[0].spec;
  config['transforms'] = 'other,unwrap';
  config['transforms.unwrap.type'] = 'io.debezium.transforms.ExtractNewRecordState';
  for (const [name, value] of Object.entries(settings)) config[`transforms.unwrap.${name}`] = value;
}

test.for(['rewrite', 'rewrite-with-tombstone'])(
  'a connector that flattens rows and sends deletes (%s) is fine',
  async (mode) => {
    const context = contextOf((o) =>
      flatten(o, { 'add.fields': ADDED, 'delete.tombstone.handling.mode': mode }),
    );
    expect(await reportOf(connectors, context)).toEqual([
      '✓ kafkaconnector/muster in kafka is running',
    ]);
  },
);

/** Makes the connector one for MySQL, with the settings that one needs. */
function toMySql(objects: Objects, settings: Record<string, string> = {}): void {
  const { spec } = objects.connectors[0];
  spec.class = 'io.debezium.connector.mysql.MySqlConnector';
  spec.config = {
    'topic.prefix': 'postgres',
    'table.include.list': 'datastore.signal',
    'skipped.operations': 'none',
    'snapshot.mode': 'when_needed',
    ...settings,
  };
}

test.for(['mysql.MySqlConnector', 'mariadb.MariaDbConnector'])(
  'a %s needs no settings of PostgreSQL',
  async (name) => {
    const context = contextOf((o) => {
      toMySql(o);
      o.connectors[0].spec.class = `io.debezium.connector.${name}`;
    });
    expect(await reportOf(connectors, context)).toEqual([
      '✓ kafkaconnector/muster in kafka is running',
    ]);
  },
);

/** Makes the pods of recordings read their changes themselves. */
function pull(objects: Objects, intake = 'kafka'): void {
  const [container] = named(objects.deployments).spec.template.spec.containers;
  container.env = [...(container.env ?? []), { name: 'INTAKE', value: intake }];
  objects.kafkaSources = [];
}

const HPA = {
  metadata: { name: 'keda-hpa-recordings' },
  spec: { scaleTargetRef: { name: 'recordings' } },
};

function event(reason: string, minute: number): object {
  const eventTime = `2026-11-21T18:0${minute}:00.000000Z`;
  const regarding = { kind: 'ScaledObject', name: 'recordings' };
  return {
    metadata: {},
    regarding,
    reason,
    note: `${reason} at ${minute}`,
    eventTime,
    type: 'Warning',
  };
}

test('a trigger that has recovered from a failure is fine', async () => {
  const context = contextOf((o) => {
    o.events = [event('KEDAScalersStarted', 3), event('KEDAScalerFailed', 2)];
  });
  expect((await reportOf(scaling, context))[0]).toBe(
    '✓ scaledobject/recordings is ready, idle, 0 to 8 pods',
  );
});

test('pods that read the log of the source need no scaling', async () => {
  const context = contextOf((o) => {
    pull(o, 'wal');
    o.scaledObjects = o.scaledObjects.filter(
      (each: Objects) => each.metadata.name !== 'recordings',
    );
  });
  expect((await reportOf(scaling, context))[0]).toBe(
    '✓ recordings: not scaled; its pods read the log of the source',
  );
});

test.for<[string, Check<ClusterContext>, (objects: Objects) => void, string]>([
  [
    'no workload',
    workloads,
    (o) =>
      (o.deployments = o.deployments.filter(
        (each: Objects) => each.metadata.name !== 'recordings',
      )),
    '✗ nothing in namespace muster serves recordings',
  ],
  [
    'pods that do not become available',
    workloads,
    (o) => set(named(o.deployments), 'Available', 'False', 'no minimum availability'),
    '✗ recordings: deployment/recordings is not available: Because: no minimum availability',
  ],
  [
    'a grace period shorter than the drain',
    workloads,
    (o) => (named(o.deployments).spec.template.spec.terminationGracePeriodSeconds = 30),
    '✗ recordings: a pod is killed 30 s after it is asked to stop, but may need 315 s (preStop 5, DRAIN_SECONDS 300, plus 10)',
  ],
  [
    'a Service with a different port',
    services,
    (o) => (named(o.services).spec.ports[0].port = 8080),
    '✗ service/recordings of recordings has no port 80, to which a KafkaSource posts',
  ],
  [
    'a Service with a wrong target port',
    services,
    (o) => (named(o.services).spec.ports[0].targetPort = 3000),
    '✗ service/recordings targets port 3000, but recordings listens on 8080',
  ],
  [
    'a Service that selects nothing',
    services,
    (o) => (named(o.services).spec.selector['app.kubernetes.io/component'] = 'recording'),
    '✗ no Service selects the pods of recordings',
  ],
  [
    'no source',
    sources,
    (o) => (o.kafkaSources = []),
    '✗ no KafkaSource has recordings as its sink',
  ],
  [
    'a source that is not ready',
    sources,
    (o) => set(named(o.kafkaSources), 'Ready', 'False', 'topic is not there'),
    '✗ kafkasource/recordings is not ready: Because: topic is not there',
  ],
  [
    'a source that no controller has processed',
    sources,
    (o) => delete named(o.kafkaSources).status,
    '✗ kafkasource/recordings is not ready: no controller has processed it yet: is its controller running?',
  ],
  [
    'a source that does not read the table of its function',
    sources,
    (o) => (named(o.kafkaSources).spec.topics = ['postgres.datastore.sample']),
    '✗ no KafkaSource of recordings reads a topic of datastore.signal',
  ],
  [
    'a source that reads a table that its function does not use',
    sources,
    (o) => named(o.kafkaSources).spec.topics.push('postgres.public.weather'),
    '✗ kafkasource/recordings reads topics of tables that recordings does not use; their events are ignored: postgres.public.weather',
  ],
  [
    'no delivery',
    delivery,
    (o) => delete named(o.kafkaSources).spec.delivery,
    '✗ kafkasource/recordings has no delivery: it gives up on an event after ten minutes, and the event is lost',
  ],
  [
    'delivery without retry',
    delivery,
    (o) => delete named(o.kafkaSources).spec.delivery.retry,
    '✗ delivery of kafkasource/recordings has no retry: while no pod is running, each event is given up immediately',
  ],
  [
    'delivery without a dead letter sink',
    delivery,
    (o) => delete named(o.kafkaSources).spec.delivery.deadLetterSink,
    '✗ delivery of kafkasource/recordings has no deadLetterSink: undelivered events are lost',
  ],
  [
    'a dead letter sink that does not exist',
    delivery,
    (o) => (o.kafkaSinks = []),
    '✗ kafkasink/recordings-dead, the dead letter sink of kafkasource/recordings, does not exist',
  ],
  [
    'no ScaledObject',
    scaling,
    (o) => (o.scaledObjects = o.scaledObjects.slice(1)),
    '✗ no ScaledObject scales deployment/recordings',
  ],
  [
    'two ScaledObjects',
    scaling,
    (o) => o.scaledObjects.push({ ...named(o.scaledObjects), metadata: { name: 'second' } }),
    '✗ deployment/recordings has two ScaledObjects, which conflict: recordings, second',
  ],
  [
    'a ScaledObject that is paused',
    scaling,
    (o) =>
      (named(o.scaledObjects).metadata.annotations = {
        'autoscaling.keda.sh/paused-replicas': '0',
      }),
    '✗ scaledobject/recordings is paused by an annotation',
  ],
  [
    'a ScaledObject that is not ready',
    scaling,
    (o) => set(named(o.scaledObjects), 'Ready', 'False', 'no such secret'),
    '✗ scaledobject/recordings is not ready and scales nothing: Because: no such secret',
  ],
  [
    'a ScaledObject that uses its fallback',
    scaling,
    (o) => set(named(o.scaledObjects), 'Fallback', 'True', 'at least one trigger is falling back'),
    '✗ scaledobject/recordings uses its fallback: a trigger fails (Because: at least one trigger is falling back)',
  ],
  [
    'a trigger whose system KEDA cannot connect to, with pods running',
    scaling,
    (o) => {
      const condition = {
        type: 'ScalingActive',
        status: 'False',
        reason: 'FailedGetExternalMetric',
      };
      const conditions = [{ ...condition, message: 'dial tcp: connection refused' }];
      o.autoscalers = [{ ...HPA, status: { conditions } }];
    },
    '✗ a trigger of scaledobject/recordings fails although its conditions do not show it: FailedGetExternalMetric: dial tcp: connection refused',
  ],
  [
    'a trigger whose system KEDA cannot connect to, scaled to zero',
    scaling,
    (o) => {
      const condition = { type: 'ScalingActive', status: 'False', reason: 'ScalingDisabled' };
      o.autoscalers = [{ ...HPA, status: { conditions: [condition] } }];
      o.events = [
        event('KEDAScalerFailed', 3),
        event('KEDAScalersStarted', 1),
        event('KEDAScalerFailed', 0),
      ];
    },
    '✗ a trigger of scaledobject/recordings fails although its conditions do not show it: KEDAScalerFailed at 3',
  ],
  [
    'pods that read Kafka without a trigger on due work',
    triggers,
    (o) => {
      pull(o);
      o.scaledObjects[0].spec.triggers.pop();
    },
    '✗ scaledobject/recordings has no postgresql trigger: at lag 0, handlers are stopped and no retry or deadline wakes a pod',
  ],
  [
    'pods that read the log of the source, scaled to zero',
    triggers,
    (o) => pull(o, 'wal'),
    '✗ scaledobject/recordings may scale recordings to zero, but nothing wakes a pod when the source has changes',
  ],
  [
    'a trigger on another group',
    triggers,
    (o) => (lagOf(o).consumerGroup = 'recordings'),
    '✗ kafkasource/recordings reads postgres.datastore.signal as muster-recordings, which no trigger of scaledobject/recordings watches (recordings): their events do not wake a pod',
  ],
  [
    'a trigger on another topic',
    triggers,
    (o) => (lagOf(o).topic = 'signal'),
    '✗ kafkasource/recordings reads postgres.datastore.signal as muster-recordings, which no trigger of scaledobject/recordings watches (muster-recordings): their events do not wake a pod',
  ],
  [
    'a trigger with a different offset reset policy than the source',
    triggers,
    (o) => delete lagOf(o).offsetResetPolicy,
    '✗ kafkasource/recordings starts at earliest, but the trigger on muster-recordings at latest: the lag of partitions that were never read is wrong',
  ],
  [
    'a source with a different initial offset than the trigger',
    triggers,
    (o) => (named(o.kafkaSources).spec.initialOffset = 'latest'),
    '✗ kafkasource/recordings starts at latest, but the trigger on muster-recordings at earliest: the lag of partitions that were never read is wrong',
  ],
  [
    'a trigger that misses the first event',
    triggers,
    (o) => (lagOf(o).scaleToZeroOnInvalidOffset = 'true'),
    "✗ the trigger on muster-recordings does not wake a pod for a partition's first event",
  ],
  [
    'a trigger that waits for more events',
    triggers,
    (o) => (lagOf(o).activationLagThreshold = '10'),
    '✗ the trigger on muster-recordings leaves single events waiting',
  ],
  [
    'a trigger limited to the number of partitions',
    triggers,
    (o) => delete lagOf(o).allowIdleConsumers,
    '✗ the trigger on muster-recordings limits the pods to the number of partitions',
  ],
  [
    'a trigger with an old protocol version',
    triggers,
    (o) => delete lagOf(o).version,
    '✗ the trigger on muster-recordings uses the protocol of Kafka 1.0, which Kafka 4 rejects',
  ],
  [
    'no trigger for due work',
    triggers,
    (o) => named(o.scaledObjects).spec.triggers.pop(),
    '✗ scaledobject/recordings has no postgresql trigger: at lag 0, handlers are stopped and no retry or deadline wakes a pod',
  ],
  [
    'a function that reads Kafka itself under another group',
    triggers,
    (o) =>
      (named(o.scaledObjects, 'travelers').spec.triggers[0].metadata.consumerGroup = 'travelers'),
    '✗ deployment/travelers reads Kafka as muster-travelers, which no trigger of scaledobject/travelers watches (travelers): their events do not wake a pod',
  ],
  [
    'a connector whose task failed',
    connectors,
    (o) =>
      (o.connectors[0].status.connectorStatus.tasks[0] = {
        id: 0,
        state: 'FAILED',
        trace: 'slot is lost\n at',
      }),
    '✗ a task of kafkaconnector/muster has failed: slot is lost',
  ],
  [
    'a connector that is stopped',
    connectors,
    (o) => (o.connectors[0].spec.state = 'stopped'),
    '✗ kafkaconnector/muster is paused: the log of its source grows',
  ],
  [
    'a connector that is paused by the deprecated field',
    connectors,
    (o) => (o.connectors[0].spec.pause = true),
    '✗ kafkaconnector/muster is paused: the log of its source grows',
  ],
  [
    'a connector that takes no second snapshot',
    connectors,
    (o) => (o.connectors[0].spec.config['snapshot.mode'] = 'initial'),
    '✗ snapshot.mode of kafkaconnector/muster is initial: once its slot is lost or dropped, it takes no snapshot and fails permanently',
  ],
  [
    'a connector that skips truncates',
    connectors,
    (o) => delete o.connectors[0].spec.config['skipped.operations'],
    '✗ skipped.operations of kafkaconnector/muster is not set: truncates are not sent: rows of emptied tables stay in their sets',
  ],
  [
    'a connector whose messages are in no format that is read',
    connectors,
    (o) =>
      (o.connectors[0].spec.config['value.converter'] =
        'org.apache.kafka.connect.storage.StringConverter'),
    '✗ value.converter of kafkaconnector/muster is org.apache.kafka.connect.storage.StringConverter: its messages are in no format that is read, and are parked',
  ],
  [
    'a connector that flattens rows and sends deletes only as tombstones',
    connectors,
    (o) => flatten(o, { 'add.fields': ADDED }),
    '✗ transforms.unwrap.delete.tombstone.handling.mode of kafkaconnector/muster is not set: deletes are not sent: deleted rows stay in their sets',
  ],
  [
    'a connector that flattens rows and drops deletes',
    connectors,
    (o) => flatten(o, { 'add.fields': ADDED, 'delete.tombstone.handling.mode': 'drop' }),
    '✗ transforms.unwrap.delete.tombstone.handling.mode of kafkaconnector/muster is drop: deletes are not sent: deleted rows stay in their sets',
  ],
  [
    'a connector that flattens rows without the required fields',
    connectors,
    (o) =>
      flatten(o, {
        'add.fields': 'op, table,source.lsn,source.ts_ms',
        'delete.tombstone.handling.mode': 'rewrite',
      }),
    '✗ transforms.unwrap.add.fields of kafkaconnector/muster is op, table,source.lsn,source.ts_ms: rows without schema, name, connector, snapshot are parked',
  ],
  [
    'a source that reads the topics of another database',
    connectors,
    (o) => (o.connectors[0].spec.class = 'io.debezium.connector.sqlserver.SqlServerConnector'),
    '✗ kafkasource/recordings reads topics of kafkaconnector/muster, a SqlServerConnector: only changes of PostgreSQL, MySQL and MariaDB are supported, so these are parked as unsupported-source',
  ],
  [
    'a connector for MySQL that takes no second snapshot',
    connectors,
    (o) => toMySql(o, { 'snapshot.mode': 'initial' }),
    '✗ snapshot.mode of kafkaconnector/muster is initial: once the binlog at its position is purged, it takes no snapshot and fails permanently',
  ],
  [
    'a connector for MySQL that flattens rows without their positions',
    connectors,
    (o) => {
      toMySql(o);
      flatten(o, { 'add.fields': ADDED, 'delete.tombstone.handling.mode': 'rewrite' });
    },
    `✗ transforms.unwrap.add.fields of kafkaconnector/muster is ${ADDED}: rows without db, file, pos, row are parked`,
  ],
  [
    'a connector that omits unknown types',
    connectors,
    (o) => (o.connectors[0].spec.config['include.unknown.datatypes'] = false),
    '✗ include.unknown.datatypes of kafkaconnector/muster is false: columns that a function lists in base64 are missing',
  ],
])('%s is a problem', async ([, check, damage, expected]) => {
  expect(await reportOf(check, contextOf())).not.toContainEqual(expect.stringMatching(/^✗/));
  const context = contextOf(damage);
  expect(await reportOf(check, context)).toContain(expected);
  const findings = await check.run(context);
  for (const finding of findings) {
    expect(finding.remedy ?? 'none').toMatch(finding.state === 'problem' ? /\w/ : /^none$/);
  }
  // the suggested kubectl commands fix the problems they belong to
  const applied = findings.filter(({ remedy }) => apply(context.objects, remedy ?? ''));
  const left = await reportOf(check, context);
  expect(applied.map((each) => each.message).filter((each) => left.includes(`✗ ${each}`))).toEqual(
    [],
  );
});

const KINDS: Record<string, string> = {
  deployment: 'deployments',
  service: 'services',
  kafkasource: 'kafkaSources',
  kafkaconnector: 'connectors',
  scaledobject: 'scaledObjects',
};

/** Applies a kubectl command to the objects; returns false if the command changes none. */
function apply(objects: Objects, command: string): boolean {
  const [, verb, kind, name, rest] = /kubectl -n \S+ (\w+) (\w+) (\S+)(.*)$/.exec(command) ?? [];
  const list = objects[KINDS[kind ?? ''] ?? ''];
  const object = Array.isArray(list) ? named(list, name) : undefined;
  if (object === undefined) return false;
  const patch = /-p '(.*)'$/.exec(rest!)?.[1];
  const annotation = / (\S+)-$/.exec(rest!)?.[1];
  if (verb === 'patch') merge(object, JSON.parse(patch!));
  else if (verb === 'annotate' && annotation !== undefined) {
    delete object.metadata.annotations[annotation];
  } else if (verb === 'delete') list.splice(list.indexOf(object), 1);
  else return false;
  return true;
}

/** Applies a JSON merge patch; merges the ports of a Service by number, as kubectl does. */
function merge(object: Objects, patch: Objects): void {
  for (const [name, value] of Object.entries<Objects>(patch)) {
    if (value === null) delete object[name];
    else if (name === 'ports') {
      for (const port of value) {
        const there = object.ports.find((each: Objects) => each.port === port.port);
        if (there === undefined) object.ports.push(port);
        else Object.assign(there, port);
      }
    } else if (typeof value === 'object' && !Array.isArray(value)) {
      merge((object[name] ??= {}), value);
    } else object[name] = value;
  }
}

/** Turns `recordings` into a Knative Service. */
function asKnative(objects: Objects): void {
  const { metadata, spec } = named(objects.deployments);
  const status = { conditions: [{ type: 'Ready', status: 'True' }] };
  const ref = { apiVersion: 'serving.knative.dev/v1', kind: 'Service', name: 'recordings' };
  objects.knativeServices = [{ metadata, spec: { template: spec.template }, status }];
  objects.deployments = objects.deployments.filter((each: Objects) => each.metadata !== metadata);
  objects.scaledObjects = objects.scaledObjects.slice(1);
  objects.pingSources = [{ metadata: { name: 'each-minute' }, spec: { sink: { ref } }, status }];
  named(objects.kafkaSources).spec.sink.ref = ref;
}

test('a Knative Service needs no Service and no ScaledObject, but a PingSource to wake it', async () => {
  const context = contextOf(asKnative);
  expect(await reportOf(workloads, context)).toContain('✓ recordings: ksvc/recordings');
  expect(await reportOf(sources, context)).toEqual([
    '✓ recordings: kafkasource/recordings is ready, postgres.datastore.signal',
  ]);
  expect(await reportOf(services, context)).toEqual([
    '– no function is behind a plain Service here',
  ]);
  expect((await reportOf(scaling, context))[1]).toBe(
    '✓ recordings: scaled by Knative, woken by pingsource/each-minute',
  );
  for (const [damage, expected] of [
    [
      (o: Objects) => (o.pingSources = []),
      '✗ no PingSource wakes ksvc/recordings for retries and deadlines',
    ],
    [
      (o: Objects) => set(o.pingSources[0], 'Ready', 'False', 'no adapter'),
      '✗ pingsource/each-minute, which wakes ksvc/recordings, is not ready: Because: no adapter',
    ],
    [
      (o: Objects) =>
        o.scaledObjects.push({
          metadata: { name: 'mine' },
          spec: { scaleTargetRef: { name: 'recordings-00001-deployment' } },
        }),
      '✗ scaledobject/mine scales ksvc/recordings, which Knative scales too',
    ],
  ] as const) {
    const wrong = contextOf((o) => {
      asKnative(o);
      damage(o);
    });
    expect(await reportOf(scaling, wrong)).toContain(expected);
  }
});

test('the handling of decimals is read from the connector', () => {
  const asText = contextOf(
    (o) => (o.connectors[0].spec.config['decimal.handling.mode'] = 'string'),
  );
  const none = contextOf((o) => (o.connectors = []));
  const contexts = [contextOf(), asText, none];
  expect(contexts.map((each) => viewOf('https://here', each).decimals)).toEqual([
    'precise',
    'string',
    null,
  ]);
});

test('kinds that the cluster does not have, or that may not be listed, are not checked', async () => {
  const why = 'this user may not list scaledobjects: kubectl auth can-i list scaledobjects';
  const context = contextOf((o) => (o.scaledObjects = { why }));
  const { results } = await clusterGroup(viewOf('https://here', context), true);
  expect(
    results.filter(({ state }) => state !== 'fine').map(({ check, message }) => [check, message]),
  ).toEqual([
    ['cluster.scaling', why],
    ['cluster.triggers', why],
  ]);
});

test('an unreachable or empty cluster is a problem only if it was requested', async () => {
  const empty = contextOf((o) => (o.deployments = []));
  for (const [isRequested, state] of [
    [false, 'unchecked'],
    [true, 'problem'],
  ] as const) {
    const unreachable = await clusterGroup({ why: 'connect ECONNREFUSED' }, isRequested);
    expect(unreachable.results).toEqual([
      expect.objectContaining({ state, message: 'connect ECONNREFUSED' }),
    ]);
    const nothing = await clusterGroup(viewOf('https://here', empty), isRequested);
    expect(nothing.results.some((each) => each.state === 'problem')).toBe(isRequested);
  }
});
