import { show } from '../invalid-event.ts';

/** Attributes and extensions of a CloudEvent by name, values as text. */
export type Attributes = Record<string, string>;

/** Type of the event that KafkaSource makes of a record that is not a CloudEvent; its data is the record's value. */
export const KAFKA_EVENT = 'dev.knative.kafka.event';
/** Prefix of the types that Debezium's CloudEventsConverter sends. */
const DEBEZIUM_EVENT = 'io.debezium.';

/** The characters of a URI-reference (RFC 3986); an invalid source usually has others. */
const URI_REFERENCE =
  /^(?:[\w.~:/?@!$&'()*+,;=[\]-]|%[\da-f]{2})*(?:#(?:[\w.~:/?@!$&'()*+,;=-]|%[\da-f]{2})*)?$/i;
/** RFC 3339, date-time. */
const TIME =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i;

/** Whether events of this type carry changes. */
export function isChangeType(type: string | undefined): boolean {
  return type === KAFKA_EVENT || (type !== undefined && type.startsWith(DEBEZIUM_EVENT));
}

/**
 * Whether an event is meant to carry a change: by its type, even if the header is repeated, or because a
 * KafkaSource sent it. If such an event can't be read it is parked, because a KafkaSource drops what is refused.
 */
export function bringsChange({ type, knativekafkaoffset: offset }: Attributes): boolean {
  return offset !== undefined || (type !== undefined && type.split(', ').some(isChangeType));
}

/**
 * Returns the first violation of the CloudEvents spec 1.0.2, sections 3 and 3.1; null if there is none. All modes
 * use this check, so an event gets the same answer in each of them.
 */
export function problemWith(attributes: Attributes): string | null {
  const { specversion, id, source, type, time, subject, dataschema } = attributes;
  if (specversion === undefined) return 'attribute specversion is missing';
  if (specversion !== '1.0') return 'attribute specversion is not 1.0';
  if (!id) return `attribute id is ${id === '' ? 'empty' : 'missing'}`;
  if (!type) return `attribute type is ${type === '' ? 'empty' : 'missing'}`;
  if (!source) return `attribute source is ${source === '' ? 'empty' : 'missing'}`;
  if (!URI_REFERENCE.test(source)) return 'attribute source is not a URI reference';
  if (time !== undefined && !isTime(time)) return 'attribute time is not in RFC 3339';
  if (subject === '') return 'attribute subject is empty';
  if (dataschema === '') return 'attribute dataschema is empty';
  for (const name in attributes) {
    if (!isName(name)) return `${show(name)} is not a valid attribute name`;
  }
  return null;
}

/** Whether data of this content type is a JSON value, even if it is a string (JSON format 1.0.2, section 3.1). */
export function isJsonType(contentType: string): boolean {
  return /[/+]json\s*(?:;|$)/i.test(contentType);
}

/** Section 3: lower-case letters and digits; the name `data` is reserved. */
export function isName(name: string): boolean {
  return /^[a-z\d]+$/.test(name) && name !== 'data';
}

/**
 * Whether the spec's type String allows this text: no control characters, no half of a surrogate pair. Node
 * checks headers itself.
 */
export function isText(value: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0000-\u001f\u007f-\u009f]/.test(value) && value.isWellFormed();
}

/** Checks the calendar too: February 30th is not a date (RFC 3339, 5.7). */
function isTime(text: string): boolean {
  const [, year, month, day] = TIME.exec(text) ?? [];
  if (day === undefined) return false;
  return Number(day) <= 28 || Number(day) <= daysIn(Number(year), Number(month));
}

/**
 * Returns day 0 of the next month. `Date.UTC` reads the years 0 to 99 as 1900 to 1999; 2000 years later the calendar
 * is the same.
 */
function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year + 2000, month, 0)).getUTCDate();
}
