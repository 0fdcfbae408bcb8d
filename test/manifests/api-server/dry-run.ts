import { expect } from 'vitest';
import type { KubernetesObject } from '../render.ts';
import type { ApiServer } from './api-server.ts';

const NAMESPACE = 'muster-dry-run';

/**
 * Applies objects in a server-side dry run with strict validation, in a namespace whose pods must be restricted; returns
 * what kubectl prints. What is accepted is not kept.
 */
export function dryRun(
  server: ApiServer,
  objects: readonly KubernetesObject[],
): { applied: string[]; errors: string } {
  // A dry run needs the namespace.
  const labels = {
    'pod-security.kubernetes.io/enforce': 'restricted',
    'pod-security.kubernetes.io/warn': 'restricted',
  };
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: NAMESPACE, labels } };
  server.kubectl(['apply', '--filename=-'], JSON.stringify(namespace));
  const items = objects.map((object) =>
    object.kind === 'Namespace'
      ? object
      : { ...object, metadata: { ...object.metadata, namespace: NAMESPACE } },
  );
  const { stdout, stderr } = server.kubectl(
    ['apply', '--dry-run=server', '--validate=strict', '--filename=-'],
    // one document per object: kubectl would validate a List by itself, instead of letting the server do it
    items.map((each) => JSON.stringify(each)).join('\n'),
  );
  return { applied: stdout.trim().split('\n'), errors: stderr };
}

/** What kubectl prints if every object is accepted; it would print warnings as errors. */
export const accepted = (objects: readonly KubernetesObject[]) => ({
  applied: objects.map(() => expect.stringMatching(/ \(server dry run\)$/)),
  errors: '',
});
