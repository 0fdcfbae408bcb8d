import { show } from '../invalid-event.ts';

/** Attributes and extensions of a CloudEvent by name, values as text. */
export type Attributes = Record<string, string>;

/** The type that KafkaSource gives to a record that is no CloudEvent; its data is the record's value. */
export const KAFKA_EVENT = 'dev.knative.kafka.event';
/** The types of Debezium's CloudEventsConverter start with this. */
const DEBEZIUM_EVENT = 'io.debezium.';

/** URI-reference (RFC 3986) by its characters, which is what a wrong source fails by. */
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
 * Whether an event came to bring a change: its type says so, be it sent twice, or a KafkaSource sent it.
 * One that can't be read is parked, because a KafkaSource drops what is refused.
 */
export function bringsChange({ type, knativekafkaoffset: offset }: Attributes): boolean {
  return offset !== undefined || (type !== undefined && type.split(', ').some(isChangeType));
}

/**
 * Names what is wrong with these attributes by the CloudEvents spec 1.0.2, sections 3 and 3.1; null if
 * nothing is. All modes are held against this, so an event gets the same answer in each of them.
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
    if (!isName(name)) return `${show(name)} is no name for an attribute`;
  }
  return null;
}

/** Section 3: lower-case letters and digits; `data` is kept for the data. */
export function isName(name: string): boolean {
  return /^[a-z\d]+$/.test(name) && name !== 'data';
}

/** Text that the spec's type String allows: no control characters, no half of a surrogate pair. In headers Node sees to it. */
export function isText(value: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0000-\u001f\u007f-\u009f]/.test(value) && value.isWellFormed();
}

/** The calendar decides too: there is no 30th of February (RFC 3339, 5.7). */
function isTime(text: string): boolean {
  const [, year, month, day] = TIME.exec(text) ?? [];
  if (day === undefined) return false;
  return Number(day) <= 28 || Number(day) <= daysIn(Number(year), Number(month));
}

/** Day 0 of the next month. `Date.UTC` would take the years 0 to 99 for 1900 to 1999; 2000 later they are the same. */
function daysIn(year: number, month: number): number {
  return new Date(Date.UTC(year + 2000, month, 0)).getUTCDate();
}
