import { type ClusterContext, deployed, type Deployed, kubectl } from './workloads.ts';
import { DEAD_LETTERS, LONG_RETRY, patchDelivery } from './deliveries.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { conditionOf, type KafkaSource, known, listed, reasonOf } from './objects.ts';
import { eventTypesOf, recordTopicsOf, tablesOf } from '../../definitions/streams.ts';

export const sources: Check<ClusterContext> = {
  id: 'cluster.sources',
  title: 'sources',
  run(context) {
    listed(context.objects.kafkaSources);
    const pushed = deployed(context).filter(({ intake }) => intake === 'http');
    if (pushed.length === 0) return [unchecked('no function receives events by HTTP here')];
    return pushed.flatMap((each) => checkSources(context, each));
  },
};

function checkSources(context: ClusterContext, each: Deployed): Finding[] {
  const { fn } = each;
  const mine = context.specifications.filter(({ name }) => name === fn);
  const tables = tablesOf(mine).toSorted();
  const records = recordTopicsOf(mine);
  if (mine.length > 0 && tables.length === 0 && records.length === 0) {
    return [unchecked(`${fn} reads events only, which Triggers send`)];
  }
  if (each.sources.length === 0) {
    return [
      problem(`no KafkaSource has ${fn} as its sink`, `kubectl apply -k knative/base/${fn}/source`),
    ];
  }
  const dead = known(context.objects.kafkaSinks).map(({ spec }) => spec.topic);
  const topics = each.sources.flatMap(({ spec }) => spec.topics);
  const missing = tables.filter((table) => !topics.some((topic) => isOf(topic, table)));
  const findings = each.sources.map((source) => checkReadiness(context, fn, source));
  if (missing.length > 0) {
    findings.push(
      problem(
        `no KafkaSource of ${fn} reads a topic of ${missing.join(', ')}`,
        `add <topic.prefix>.${missing[0]} to spec.topics of kafkasource/${each.sources[0]!.metadata.name}`,
      ),
    );
  }
  const unread = records.filter((topic) => !topics.includes(topic));
  if (unread.length > 0) {
    findings.push(
      problem(
        `no KafkaSource of ${fn} reads ${unread.join(', ')}`,
        `add ${unread.join(', ')} to spec.topics of kafkasource/${each.sources[0]!.metadata.name}`,
      ),
    );
  }
  for (const { metadata, spec } of each.sources) {
    const unused = spec.topics.filter(
      (topic) =>
        !dead.includes(topic) &&
        !records.includes(topic) &&
        !tables.some((table) => isOf(topic, table)),
    );
    // CloudEvents, which are of a type, may come from any topic
    if (unused.length === 0 || eventTypesOf(mine).length > 0) continue;
    findings.push(
      problem(
        `kafkasource/${metadata.name} reads topics of tables that ${fn} does not use; their events are ignored: ${unused.join(', ')}`,
        `remove them from spec.topics, or use the tables in functions/${fn}.ts`,
      ),
    );
  }
  return findings;
}

/** Returns whether it is the topic of this table, regardless of the connector's prefix. */
function isOf(topic: string, table: string): boolean {
  return topic.endsWith(`.${table}`);
}

function checkReadiness(context: ClusterContext, fn: string, source: KafkaSource): Finding {
  const { name } = source.metadata;
  const ready = conditionOf(source, 'Ready');
  return ready?.status === 'True'
    ? fine(`${fn}: kafkasource/${name} is ready, ${source.spec.topics.join(', ')}`)
    : problem(
        `kafkasource/${name} is not ready: ${reasonOf(ready)}`,
        `${kubectl(context)} describe kafkasource ${name}`,
      );
}

export const delivery: Check<ClusterContext> = {
  id: 'cluster.delivery',
  title: 'delivery',
  run(context) {
    listed(context.objects.kafkaSources);
    const mine = new Set(deployed(context).flatMap((each) => each.sources));
    if (mine.size === 0) return [unchecked('no KafkaSource posts to a function here')];
    return [...mine].map((source) => checkDelivery(context, source));
  },
};

/** After its last attempt, a KafkaSource considers an event done, whether or not it was delivered. */
function checkDelivery(
  context: ClusterContext,
  { metadata: { name }, spec }: KafkaSource,
): Finding {
  const patch = (fields: object) => patchDelivery(context, `kafkasource ${name}`, fields);
  const given = spec.delivery;
  if (given === undefined) {
    return problem(
      `kafkasource/${name} has no delivery: it gives up on an event after ten minutes, and the event is lost`,
      patch({ ...LONG_RETRY, ...DEAD_LETTERS }),
    );
  }
  if (!given.retry) {
    return problem(
      `delivery of kafkasource/${name} has no retry: while no pod is running, each event is given up immediately`,
      patch(LONG_RETRY),
    );
  }
  const ref = given.deadLetterSink?.ref;
  if (given.deadLetterSink === undefined) {
    return problem(
      `delivery of kafkasource/${name} has no deadLetterSink: undelivered events are lost`,
      patch(DEAD_LETTERS),
    );
  }
  if (ref?.kind === 'KafkaSink') {
    const sink = listed(context.objects.kafkaSinks).find((each) => each.metadata.name === ref.name);
    const ready = sink === undefined ? undefined : conditionOf(sink, 'Ready');
    if (ready?.status !== 'True') {
      return problem(
        `kafkasink/${ref.name}, the dead letter sink of kafkasource/${name}, ${sink === undefined ? 'does not exist' : `is not ready: ${reasonOf(ready)}`}`,
        `${kubectl(context)} describe kafkasink ${ref.name}`,
      );
    }
  }
  return fine(
    `kafkasource/${name}: ${given.retry} retries, ${given.backoffPolicy ?? 'exponential'}; then ${ref?.name ?? given.deadLetterSink.uri}`,
  );
}

/** Returns the topics for the dead letters of this namespace. */
export function deadLetterTopics({ objects }: ClusterContext): string[] {
  const names = known(objects.kafkaSources).flatMap(
    ({ spec }) => spec.delivery?.deadLetterSink?.ref?.name ?? [],
  );
  const sinks = known(objects.kafkaSinks).filter(({ metadata }) => names.includes(metadata.name));
  return [...new Set(sinks.map(({ spec }) => spec.topic))].toSorted();
}
