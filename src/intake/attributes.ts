import { CloudEvent as SdkEvent } from 'cloudevents';
import { show } from './unreadable.ts';

/** Attributes and extensions of a CloudEvent by name, values as text. */
export type Attributes = Record<string, string>;

/** URI-reference (RFC 3986) by its characters, which is what a wrong source fails by. */
const URI_REFERENCE =
  /^(?:[\w.~:/?@!$&'()*+,;=[\]-]|%[\da-f]{2})*(?:#(?:[\w.~:/?@!$&'()*+,;=-]|%[\da-f]{2})*)?$/i;
/** RFC 3339, date-time. */
const TIME =
  /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** What is wrong with these attributes by the CloudEvents spec 1.0.2, sections 3 and 3.1; null if nothing is. */
export function problemWith(attributes: Attributes): string | null {
  const { specversion, id, source, type, time, subject, dataschema } = attributes;
  if (specversion === undefined) return 'attribute specversion is missing';
  if (specversion !== '1.0') return 'attribute specversion is not 1.0';
  if (!id) return `attribute id is ${id === '' ? 'empty' : 'missing'}`;
  if (!type) return `attribute type is ${type === '' ? 'empty' : 'missing'}`;
  if (!source) return `attribute source is ${source === '' ? 'empty' : 'missing'}`;
  if (!URI_REFERENCE.test(source)) return 'attribute source is not a URI reference';
  if (time !== undefined && !TIME.test(time)) return 'attribute time is not in RFC 3339';
  if (subject === '') return 'attribute subject is empty';
  if (dataschema === '') return 'attribute dataschema is empty';
  for (const name in attributes) {
    if (!/^[a-z\d]+$/.test(name) || name === 'data')
      return `${show(name)} is no name for an attribute`;
  }
  return null;
}

/** Text that the spec's type String allows: no control characters, no half of a surrogate pair. In headers Node sees to it. */
export function isText(value: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0000-\u001f\u007f-\u009f]/.test(value) && value.isWellFormed();
}

/** What the `cloudevents` SDK has against them; null if nothing. It takes 30 µs, so not for every event. */
export function problemOfSdk(attributes: Attributes): string | null {
  try {
    return new SdkEvent(attributes).validate() ? null : 'not a CloudEvent 1.0';
  } catch (error) {
    return error instanceof Error ? error.message.split('\n', 1)[0]! : String(error);
  }
}
