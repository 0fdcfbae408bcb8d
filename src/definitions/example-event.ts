import type { Scalar } from '../function.ts';
import type { MessagePartSpecification } from './part-specification.ts';
import { isDataPath, streamOf } from './streams.ts';

/**
 * Returns an event that fills a part, in structured mode, with all values that the parts on its stream name; a record
 * is one of a KafkaSource. `n` makes it another one than the others; `at` is its time in epoch milliseconds.
 */
export function exampleEvent(
  part: MessagePartSpecification,
  all: readonly MessagePartSpecification[],
  { n, key, at }: { readonly n: number; readonly key: string; readonly at: number },
): Record<string, unknown> {
  const isEvent = 'event' in part;
  const event: Record<string, unknown> = {
    specversion: '1.0',
    id: isEvent ? String(n) : `partition:0/offset:${at + n}`,
    source: isEvent ? '/me' : `/me#${part.topic}`,
    type: isEvent ? part.event : 'dev.knative.kafka.event',
  };
  const data: Record<string, unknown> = {};
  const values = valuesOf(part, all, n, key, at);
  // the longest path first: a shorter one may be the object that holds its value
  for (const [name, value] of [...values].toSorted(([a], [b]) => b.length - a.length)) {
    if (value === null) continue;
    if (!isEvent) put(data, name.split('.'), value);
    else if (isDataPath(name)) put(data, name.split('.').slice(1), value);
    else event[name] = String(value);
  }
  return { ...event, data };
}

function valuesOf(
  part: MessagePartSpecification,
  all: readonly MessagePartSpecification[],
  n: number,
  key: string,
  at: number,
): Map<string, Scalar> {
  const names = all
    .filter((each) => streamOf(each) === streamOf(part))
    .flatMap((each) => each.columns);
  const values = new Map<string, Scalar>(names.map((name) => [name, 1]));
  const isOwn = part.version === null;
  for (const name of part.id) {
    if (isOwn) values.delete(name);
    else values.set(name, String(n));
  }
  if (values.has('time') && 'event' in part) values.set('time', new Date(at).toISOString());
  if (part.version !== null) {
    values.set(
      part.version,
      part.version === 'time' && 'event' in part ? new Date(at).toISOString() : at,
    );
  }
  for (const name of part.key) values.set(name, key);
  for (const [name, value] of Object.entries(part.where)) values.set(name, value);
  return values;
}

/** Sets the value at a path, unless there is one. */
function put(data: Record<string, unknown>, path: readonly string[], value: unknown): void {
  const [first, ...rest] = path;
  if (first === undefined) return;
  if (rest.length === 0) {
    if (!Object.hasOwn(data, first)) data[first] = value;
    return;
  }
  const inner = (data[first] ??= {});
  if (typeof inner === 'object') put(inner as Record<string, unknown>, rest, value);
}
