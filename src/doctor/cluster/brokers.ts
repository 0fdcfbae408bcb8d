import { eventTypesOf, recordTopicsOf, tablesOf } from '../../definitions/streams.ts';
import { didYouMean } from '../../lib/similar-name.ts';
import { type Check, fine, problem, unchecked, type Finding } from '../finding.ts';
import { DEAD_LETTERS, LONG_RETRY, patchDelivery } from './deliveries.ts';
import { conditionOf, known, listed, reasonOf, type Trigger } from './objects.ts';
import { type ClusterContext, deployed, type Deployed, kubectl } from './workloads.ts';

/** Whether the events of the functions are sent to them by Triggers, and are not lost on the way. */
export const brokers: Check<ClusterContext> = {
  id: 'cluster.brokers',
  title: 'Triggers of Brokers',
  run(context) {
    const pushed = deployed(context).filter(({ intake }) => intake === 'http');
    const named = new Map(pushed.map((each) => [each, typesOf(context, each)]));
    const isConcerned = (each: Deployed) => named.get(each)!.length > 0 || each.triggers.length > 0;
    if (!pushed.some(isConcerned)) return []; // few use Brokers
    listed(context.objects.triggers);
    const types = [...named.values()].flat();
    const all = new Set(pushed.flatMap(({ triggers }) => triggers));
    return [
      ...pushed.flatMap((each) => missingTriggers(context, each, named.get(each)!)),
      ...[...all].map((trigger) => {
        const mine = pushed.filter(({ triggers }) => triggers.includes(trigger));
        return checkTrigger(context, trigger, mine, types);
      }),
    ];
  },
};

function typesOf({ specifications }: ClusterContext, { fn }: Deployed): string[] {
  return eventTypesOf(specifications.filter(({ name }) => name === fn));
}

/** Returns the type to which a Trigger is limited; null if its filter is another one, or none. */
function typeOf({ spec: { filter, filters } }: Trigger): string | null {
  if (filters !== undefined && filters.length > 0) {
    return filters.find(({ exact }) => exact?.['type'] !== undefined)?.exact?.['type'] ?? null;
  }
  return filter?.attributes?.['type'] || null;
}

/** The types that no Trigger sends to the function, unless they may come from a topic of its KafkaSources. */
function missingTriggers(
  context: ClusterContext,
  { fn, triggers, sources }: Deployed,
  types: readonly string[],
): Finding[] {
  const missing = types.filter(
    (type) => !triggers.some((each) => [type, null].includes(typeOf(each))),
  );
  if (missing.length === 0) return [];
  const mine = context.specifications.filter(({ name }) => name === fn);
  const [tables, records] = [tablesOf(mine), recordTopicsOf(mine)];
  const others = sources
    .flatMap(({ spec }) => spec.topics)
    .filter(
      (topic) => !records.includes(topic) && !tables.some((each) => topic.endsWith(`.${each}`)),
    );
  if (others.length > 0) {
    return [
      unchecked(
        `no Trigger sends ${missing.join(', ')} to ${fn}; they may come from the topics ${others.join(', ')}`,
      ),
    ];
  }
  return missing.map((type) => {
    const elsewhere = listed(context.objects.triggers).find((each) => typeOf(each) === type);
    const broker = elsewhere?.spec.broker ?? '<name>';
    const to = elsewhere?.spec.subscriber.ref?.name ?? elsewhere?.spec.subscriber.uri;
    const hint =
      elsewhere === undefined ? '' : `; trigger/${elsewhere.metadata.name} sends them to ${to}`;
    return problem(
      `no Trigger sends events of the type ${type} to ${fn}${hint}`,
      `muster manifests ${fn} --broker ${broker}   # writes one; then apply it`,
    );
  });
}

function checkTrigger(
  context: ClusterContext,
  trigger: Trigger,
  mine: readonly Deployed[],
  types: readonly string[],
): Finding {
  const { name } = trigger.metadata;
  const fns = mine.map(({ fn }) => fn).join(', ');
  const ready = conditionOf(trigger, 'Ready');
  if (ready?.status !== 'True') {
    return problem(
      `trigger/${name} is not ready: ${reasonOf(ready)}`,
      `${kubectl(context)} describe trigger ${name}`,
    );
  }
  const type = typeOf(trigger);
  const isNamed = type === null || mine.some((each) => typesOf(context, each).includes(type));
  const isKnown = mine.every(({ fn }) => context.specifications.some((each) => each.name === fn));
  if (!isNamed && isKnown) {
    return problem(
      `trigger/${name} sends events of the type ${type} to ${fns}, which names no such type, and ignores them${didYouMean(type, types)}`,
      `name the type in functions/${mine[0]!.fn}.ts, correct the filter, or: ${kubectl(context)} delete trigger ${name}`,
    );
  }
  return checkDelivery(context, trigger, `${fns}: trigger/${name} sends ${type ?? 'every type'}`);
}

/** A Trigger's delivery takes what it does not set from that of its Broker. */
function checkDelivery(context: ClusterContext, trigger: Trigger, what: string): Finding {
  const { name } = trigger.metadata;
  const broker = known(context.objects.brokers).find(
    ({ metadata }) => metadata.name === trigger.spec.broker,
  );
  const [own, general] = [trigger.spec.delivery, broker?.spec?.delivery];
  const patch = (fields: object) => patchDelivery(context, `trigger ${name}`, fields);
  const retry = own?.retry || general?.retry || 0;
  if (retry === 0) {
    return problem(
      `neither trigger/${name} nor its Broker has a delivery with retry: an event that is not accepted at once is given up`,
      patch(LONG_RETRY),
    );
  }
  const sink = own?.deadLetterSink ?? general?.deadLetterSink;
  if (sink === undefined) {
    return problem(
      `neither trigger/${name} nor its Broker has a deadLetterSink: events that are not accepted after ${retry} retries are lost`,
      patch(DEAD_LETTERS),
    );
  }
  return fine(`${what}, ${retry} retries; then ${sink.ref?.name ?? sink.uri}`);
}
