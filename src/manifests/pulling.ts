/** What differs for pods that read the topics, or the log of the source, themselves. */
import { edit } from './edit.ts';
import { keptUp } from './triggers.ts';

/** The comment on the first variable of a function, before which its intake is set. */
const HANDLERS = '            # Concurrent handlers';

/** The pods are the consumers of the group: more of them than partitions would be idle. */
export function forConsumers(scaled: string): string {
  return edit(
    scaled,
    [
      /Same as the KafkaSource's initialOffset\./g,
      'Same as the function, which begins at the oldest offset.',
    ],
    [/ +# Pods are not consumers.*\n.*allowIdleConsumers.*\n/g, ''],
  );
}

/** One pod reads the log of the source; KEDA sees nothing of what waits in it. */
export function forReaders(scaled: string): string {
  const why =
    'The source retains its log while no pod reads it, and KEDA does not see what waits in it.';
  return edit(
    keptUp(scaled, false, why),
    ['by the lag of its source and by its due work', 'by its due work'],
    [
      / {2}# The first event waits for the next poll[^]*?(?= {2}pollingInterval)/,
      '  # Each poll costs one query that takes less than a millisecond.\n',
    ],
  );
}

/** Makes a deployment read the topics itself. */
export function pulling(text: string, name: string, topics: readonly string[]): string {
  const variables = [
    ['INTAKE', 'kafka'],
    ['TOPIC', topics.join(',')],
    ['KAFKA_GROUP', `muster-${name}`],
  ].map(([key, value]) => `            - name: ${key}\n              value: ${value}\n`);
  return edit(text, [HANDLERS, `${variables.join('')}${HANDLERS}`]);
}

/** Makes a deployment read the log of the source, through a slot of its own. */
export function reading(text: string, name: string): string {
  const slot = `muster_${name.replaceAll('-', '_')}`.slice(0, 50);
  const variables = `            - name: INTAKE
              value: wal
            - name: WAL_SLOT
              value: ${slot}
            - name: SOURCE_DATABASE_URL
              valueFrom:
                secretKeyRef:
                  name: muster-source
                  key: url
`;
  return edit(text, [HANDLERS, `${variables}${HANDLERS}`]);
}
