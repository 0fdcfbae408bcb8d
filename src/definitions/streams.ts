/**
 * What parts read: the changes of a table, the events of a type, or the records of a topic. Each is a stream with a
 * name of its own. The state knows rows of streams; whatever is about tables alone has to ask for them.
 *
 * A row of a stream is a row of a table, an event (or all events with the same id, if they have versions), or a
 * record of a topic.
 */
import type {
  MessagePartSpecification,
  PartSpecification,
  TablePartSpecification,
} from './part-specification.ts';

/** Anything with parts: a specification, or part of one. */
interface WithParts {
  readonly parts: readonly PartSpecification[];
}

/** A part that reads the changes of a table. */
export function isTablePart(part: PartSpecification): part is TablePartSpecification {
  return 'table' in part;
}

/** A part that reads events or records. */
export function isMessagePart(part: PartSpecification): part is MessagePartSpecification {
  return !isTablePart(part);
}

/** Returns the unique name of what a part reads. No table is named like an event or a topic (check-parts.ts). */
export function streamOf(part: PartSpecification): string {
  if ('table' in part) return part.table;
  return 'event' in part ? eventStream(part.event) : topicStream(part.topic);
}

/** Returns the stream of the events of a type. */
export function eventStream(type: string): string {
  return `event ${type}`;
}

/** Returns the stream of the records of a topic that are not CloudEvents. */
export function topicStream(topic: string): string {
  return `topic ${topic}`;
}

/** Returns the stream of the events that take a part's events back; null if there are none. */
export function retractionsOf(part: PartSpecification): string | null {
  return 'event' in part && part.deletedBy !== null ? eventStream(part.deletedBy) : null;
}

/** Returns the tables of all parts of these functions, in the order of their definitions. */
export function tablesOf(specifications: readonly WithParts[]): string[] {
  const parts = specifications.flatMap((each) => each.parts).filter(isTablePart);
  return [...new Set(parts.map(({ table }) => table))];
}

/** Returns the topics whose records are parts of these functions. */
export function recordTopicsOf(specifications: readonly WithParts[]): string[] {
  const parts = specifications.flatMap((each) => each.parts);
  const topics = parts.flatMap((part) => ('topic' in part ? [part.topic] : []));
  return [...new Set(topics)].toSorted();
}

/** Returns the types of the events that these functions read, with those that take events back. */
export function eventTypesOf(specifications: readonly WithParts[]): string[] {
  const parts = specifications.flatMap((each) => each.parts);
  const types = parts.flatMap((part) =>
    'event' in part ? [part.event, ...(part.deletedBy === null ? [] : [part.deletedBy])] : [],
  );
  return [...new Set(types)].toSorted();
}

/** Returns whether a name of an event part is a path into the data; otherwise it is an attribute. */
export function isDataPath(name: string): boolean {
  return name === 'data' || name.startsWith('data.');
}
