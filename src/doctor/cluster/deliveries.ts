import { type ClusterContext, kubectl } from './workloads.ts';

/** Retries for 50 hours, as in the generated manifests. */
export const LONG_RETRY = { retry: 600, backoffPolicy: 'linear', backoffDelay: 'PT1S' };

/** A sink for dead letters, whose name is left to the reader. */
export const DEAD_LETTERS = {
  deadLetterSink: {
    ref: {
      apiVersion: 'eventing.knative.dev/v1alpha1',
      kind: 'KafkaSink',
      name: '<a KafkaSink>',
    },
  },
};

/** Returns the command that sets fields of the delivery of a KafkaSource or a Trigger. */
export function patchDelivery(
  context: ClusterContext,
  object: `${'kafkasource' | 'trigger'} ${string}`,
  fields: object,
): string {
  return `${kubectl(context)} patch ${object} --type merge -p '${JSON.stringify({ spec: { delivery: fields } })}'`;
}
