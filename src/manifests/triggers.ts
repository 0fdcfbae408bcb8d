/** What a function needs whose parts are events: a Trigger for each type, and pods that are there to receive them. */

import { edit } from './edit.ts';

/** Longest name of an object. */
const MAX_NAME = 63;

/**
 * Returns a Trigger for each type of event, by the name of its file. Its delivery is that of a KafkaSource, whose
 * manifest is given, because after the last retry a Broker, too, treats the event as done. `serviceVersion` is that of
 * the Service: Kubernetes' own, or Knative's.
 */
export function triggersOf(
  name: string,
  types: readonly string[],
  broker: string,
  kafkaSource: string,
  serviceVersion = 'v1',
): Record<string, string> {
  const delivery = /^ {2}delivery:\n[^]*?(?=^ {2}sink:)/m
    .exec(kafkaSource)![0]
    .replaceAll('KafkaSource', 'Broker');
  const names = new Set<string>();
  return Object.fromEntries(
    types.map((type, i) => {
      const slug = type
        .toLowerCase()
        .replaceAll(/[^a-z0-9]+/g, '-')
        .replaceAll(/^-|-$/g, '');
      const own = `${name}-${slug}`;
      const isFine = slug !== '' && own.length <= MAX_NAME && !names.has(own);
      let trigger = isFine ? own : `${name}-event-${i + 1}`;
      for (let n = i + 2; names.has(trigger); n++) trigger = `${name}-event-${n}`;
      names.add(trigger);
      const text = `# Posts each event of the type ${JSON.stringify(type)} to the function.
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: ${trigger}
spec:
  broker: ${broker}
  filter:
    attributes:
      type: ${JSON.stringify(type)}
${delivery}  subscriber:
    ref:
      apiVersion: ${serviceVersion}
      kind: Service
      name: ${name}
`;
      return [`trigger-${trigger.slice(name.length + 1)}.yaml`, text];
    }),
  );
}

/** Admits the dispatchers of Brokers, whose pods have other labels in each class of them. */
export function admittingBrokers(networkPolicy: string): string {
  return edit(
    networkPolicy,
    [
      'Only the dispatcher of the KafkaSource may post events.',
      'Only the dispatchers of sources and Brokers may post events.',
    ],
    [/^ {10}podSelector:\n {12}matchLabels:\n {14}app: kafka-source-dispatcher\n/m, ''],
  );
}

const OF_BROKERS =
  'A Broker finds no pod at zero, and KEDA does not see the events that wait in it.';

/**
 * Keeps a pod up: a Broker delivers to a Service without pods only by retries, and KEDA sees nothing of what waits in
 * it. Without topics there is no lag either.
 */
export function keptUp(scaledObject: string, hasTopics: boolean, why = OF_BROKERS): string {
  const kept = edit(scaledObject, ['  minReplicaCount: 0\n', `  # ${why}\n  minReplicaCount: 1\n`]);
  return hasTopics ? kept : edit(kept, [/ {4}- type: kafka\n[^]*?(?= {4}- type:)/, '']);
}
