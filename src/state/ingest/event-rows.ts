/**
 * Maps an event, or a record of a topic, to rows of the streams that a function's parts read. The rules, which
 * docs/keys-and-rules.md explains to authors:
 *
 * - A row has the values of exactly the names that the parts on its stream mention.
 * - An event is the row of its `source` and `id`, a record that of its topic, partition and offset. It is created
 *   once: any further one with that id is no newer, and changes nothing.
 * - Where the parts name an id and a version, an event is an update of the row of that id, and the type in `deletedBy`
 *   a delete of it; the newest version counts.
 * - An absent value of a filter or a kept column is null. An absent key, id or version parks the event for each part
 *   whose filters it passes. A null in the key is in no set, as in a row of a table.
 *
 * What looks simpler, and the counterexample:
 *
 * - An absent key counts as null: a misspelt path is then silent, and no set ever completes.
 * - An absent key parks the event before the filters are checked: a type that several kinds of things share floods
 *   the parked events with those that no part wants.
 * - A versioned event is a create: a part that rejects it keeps no row, so an older event that arrives later, and
 *   that it accepts, is a phantom. An update leaves a row for every part.
 * - A version counts by its own number: an event that takes another one back may have its version (event-version.ts).
 * - The time of an event is its version even if parts name none: two events of one source in one millisecond, or of
 *   two hosts whose clocks differ, would replace each other by chance.
 */
import { isDataPath, isMessagePart, retractionsOf, streamOf } from '../../definitions/streams.ts';
import type {
  MessagePartSpecification,
  PartSpecification,
} from '../../definitions/part-specification.ts';
import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import type { EventChange, RowChange } from '../change.ts';
import { refusedBy } from '../filters.ts';
import { EVENTS, EXPECTED_VERSION, onlyPosition, positionOf } from './event-version.ts';
import { EventValues, showValue } from './event-values.ts';
import type { Problem } from './member.ts';

/** What an event means for one stream of a function. */
export interface EventRow {
  /** Null if the row can't be identified; then nothing is stored. */
  readonly change: RowChange | null;
  /** Parts on the stream that ingest it. */
  readonly parts: readonly PartSpecification[];
  /** One for each part for which the event has to be parked. */
  readonly problems: readonly Problem[];
}

/** Returns the rows of an event for a function: that of its stream, and those of the streams that it takes back. */
export function rowsOfEvent(
  event: EventChange,
  { specification }: Pick<RegisteredFunction, 'specification'>,
): EventRow[] {
  const own = specification.parts.filter(isMessagePart);
  const read = own.filter((part) => streamOf(part) === event.stream);
  const takenBack = own.filter((part) => retractionsOf(part) === event.stream);
  const rows = [...Map.groupBy(takenBack, streamOf).values()].map((parts) =>
    rowOf(event, parts, specification.name, true),
  );
  return read.length === 0 ? rows : [rowOf(event, read, specification.name, false), ...rows];
}

function rowOf(
  event: EventChange,
  parts: readonly MessagePartSpecification[],
  fn: string,
  takesBack: boolean,
): EventRow {
  const [{ id, version }] = parts as [MessagePartSpecification]; // the same in all of them (check-parts.ts)
  const identity = version === null ? id : [...id, version];
  const names = takesBack ? identity : [...identity, ...parts.flatMap(({ columns }) => columns)];
  const values = new EventValues(event, names, version === null);
  const position = version === null ? onlyPosition() : positionOf(values.row[version], takesBack);
  const accepted: PartSpecification[] = [];
  const refused: PartSpecification[] = [];
  const problems: Problem[] = [];
  for (const part of parts) {
    const needed = takesBack ? identity : [...identity, ...part.key];
    if (!takesBack && isRefused(part, values)) {
      refused.push(part);
      continue;
    }
    const problem =
      values.problemOf(takesBack ? identity : [...identity, ...part.columns], needed, id) ??
      problemOfVersion(version, position, values);
    if (problem === null) accepted.push(part);
    else {
      const detail = `${problem.detail}; part ${part.name} of ${fn} names it`;
      problems.push({ ...problem, detail });
    }
  }
  const isIdentified = position !== null && values.problemOf(identity, identity, id) === null;
  if (!isIdentified) return { change: null, parts: [], problems };
  const op = takesBack ? 'd' : version === null ? 'c' : 'u';
  const change: RowChange = {
    kind: 'row',
    op,
    source: EVENTS,
    stream: streamOf(parts[0]!),
    lsn: position,
    at: event.at,
    handledAt: event.at,
    lastCommit: null,
    snapshot: null,
    row: values.row,
    origin: event.origin,
  };
  return { change, parts: [...accepted, ...refused], problems };
}

/** Whether a filter rejects the event. If its data can't be read, only filters on attributes can. */
function isRefused(part: MessagePartSpecification, values: EventValues): boolean {
  const column = refusedBy(values.row, part);
  if (column === null || values.isReadable) return column !== null;
  const known = Object.entries(part.where).filter(([name]) => 'event' in part && !isDataPath(name));
  return refusedBy(values.row, { ...part, where: Object.fromEntries(known) }) !== null;
}

function problemOfVersion(
  version: string | null,
  position: bigint | null,
  values: EventValues,
): Problem | null {
  if (version === null || position !== null) return null;
  const detail = `the version ${version} is ${showValue(values.row[version])}, not ${EXPECTED_VERSION}`;
  return { reason: 'bad-event', detail };
}
