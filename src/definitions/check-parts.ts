/** Checks for every property of a part, by what it reads. */
import {
  checkFields,
  checkObject,
  count,
  field,
  isName,
  isStorable,
  isText,
  required,
  show,
  topic,
  type Field,
  type Fields,
  type Report,
} from './fields.ts';
import { isDataPath, streamOf } from './streams.ts';
import type { EventPart, Part, TablePart, TopicPart } from '../function.ts';
import type { PartSpecification } from './part-specification.ts';

type Kind = 'table' | 'event' | 'topic';
const KINDS: readonly Kind[] = ['table', 'event', 'topic'];

/** What identifies a row of each kind, unless the part names it. */
export const DEFAULT_ID: Readonly<Record<Kind, string | readonly string[]>> = {
  table: 'id',
  event: ['source', 'id'],
  topic: ['partition', 'offset'],
};

const columns: Field = {
  problem(value) {
    const list = typeof value === 'string' ? [value] : value;
    if (!Array.isArray(list) || !list.every(isName)) {
      return `must be the name of a column, or several, not ${show(value)}`;
    }
    if (list.length === 0) return 'must name a column';
    const twice = list.find((each, i) => list.indexOf(each) !== i);
    return twice === undefined ? null : `names '${twice}' twice`;
  },
};

const columnList: Field = {
  problem: (value) =>
    Array.isArray(value)
      ? value.length === 0
        ? null
        : columns.problem(value)
      : `must be an array of names of columns, not ${show(value)}`,
};

/** Filters compare with `===`, so NaN or an object would silently match no row. */
const filters: Field = {
  problem(value) {
    const problems: string[] = [];
    const where = checkObject('', value, (problem) => problems.push(problem));
    for (const [column, expected] of Object.entries(where ?? {})) {
      if (!isName(column)) problems.push(`${show(column)} can't be the name of a column`);
      const found = scalarProblem(expected);
      if (found !== null) problems.push(`${column} ${found}`);
    }
    return problems.length === 0 ? null : problems.join(', and ');
  },
};

function scalarProblem(value: unknown): string | null {
  if (value === null || typeof value === 'boolean') return null;
  if (typeof value === 'string' && isStorable(value)) return null;
  if (typeof value === 'number' && Number.isFinite(value)) {
    const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
    return isRounded ? `is beyond 2^53, where numbers are rounded: write it as text` : null;
  }
  return `must be text, a finite number, true, false or null, not ${show(value)}`;
}

/** A stream of another kind is named like this (streams.ts). */
const OTHER_STREAM = /^(?:event|topic) /;

const COMMON = { key: required(columns), where: filters, columns: columnList, count };

const TABLE = {
  table: required(
    field(
      'schema.table',
      (value) => isText(value) && /^[^.]+\.[^.]+$/.test(value) && !OTHER_STREAM.test(value),
    ),
  ),
  key: COMMON.key,
  where: COMMON.where,
  id: columns,
  columns: COMMON.columns,
  base64: columnList,
  count: COMMON.count,
} satisfies Fields<TablePart>;

/** A type of an event. Those that carry changes of tables name no event that could be a part. */
const eventType: Field = {
  problem(value) {
    if (!isText(value)) return `must be the type of a CloudEvent, not ${show(value)}`;
    if (value === 'dev.knative.kafka.event') {
      return `is ${show(value)}, the type of every record that is not a CloudEvent: write topic: '<topic>' for its records, or table: '<schema.table>' for changes that Debezium sends`;
    }
    return value.startsWith('io.debezium.')
      ? `is ${show(value)}, a change of a table that Debezium sends: write table: '<schema.table>'`
      : null;
  },
};

const name = field('the name of an attribute or a path', isName);

const EVENT = {
  event: required(eventType),
  ...COMMON,
  id: columns,
  version: name,
  deletedBy: eventType,
} satisfies Fields<EventPart>;

const TOPIC = {
  topic: required(topic),
  ...COMMON,
  id: columns,
  version: name,
} satisfies Fields<TopicPart>;

/** Returns what a valid part reads. */
export function kindOf(part: Part): Kind {
  return 'event' in part ? 'event' : 'topic' in part ? 'topic' : 'table';
}

/** Reports every problem of a part; returns it if it is valid. `path` precedes the names of its properties. */
export function checkPart(path: string, given: unknown, report: Report): Part | null {
  const object = checkObject(path, given, report);
  if (object === null) return null;
  const [kind = 'table', other] = KINDS.filter((each) => object[each] !== undefined);
  if (other !== undefined) {
    report(`${path}: ${kind} and ${other}: a part reads only one of them`);
    return null;
  }
  if (kind === 'table') return checkFields<TablePart>(path, given, TABLE, report);
  const part =
    kind === 'event'
      ? checkFields<EventPart>(path, given, EVENT, report)
      : checkFields<TopicPart>(path, given, TOPIC, report);
  if (part === null) return null;
  const problems = kind === 'event' ? eventProblems(part as EventPart) : recordProblems(part);
  for (const problem of [...versionProblems(part), ...problems]) report(`${path}: ${problem}`);
  return problems.length === 0 ? part : null;
}

function versionProblems(part: EventPart | TopicPart): string[] {
  const { id, version } = part;
  const problems: string[] = [];
  if (id !== undefined && version === undefined) {
    problems.push(
      'version is missing: with an id of its own, several events are the same one, and the newest version counts',
    );
  }
  if (version !== undefined && id === undefined) {
    problems.push('id is missing: a version compares events of the same id');
  }
  if (!('deletedBy' in part) || part.deletedBy === undefined) return problems;
  if (id === undefined || version === undefined) {
    problems.push('deletedBy needs id and version, which tell what is taken back');
  }
  if (part.deletedBy === part.event) {
    problems.push(`deletedBy is ${show(part.event)}, the type of the part itself`);
  }
  return problems;
}

/** Names of an event part are attributes, which are text, or paths into the data. */
function eventProblems(part: EventPart): string[] {
  const problems = namesOf(part).flatMap(([property, each]) => {
    if (isDataPath(each)) return isPath(each) ? [] : [`${property} names '${each}': ${BAD_PATH}`];
    if (/^[a-z\d]+$/.test(each)) return [];
    return [
      `${property} names '${each}', which can't be an attribute of a CloudEvent (lower-case letters and digits); a value of its data is named data.${each}`,
    ];
  });
  for (const [each, expected] of Object.entries(part.where ?? {})) {
    if (isDataPath(each) || expected === null || typeof expected === 'string') continue;
    problems.push(`where ${each} must be text or null, as attributes are, not ${show(expected)}`);
  }
  return problems;
}

/** Names of a topic part are paths; without an id, `partition` and `offset` are those of the record. */
function recordProblems(part: EventPart | TopicPart): string[] {
  return namesOf(part).flatMap(([property, each]) => {
    if (!isPath(each)) return [`${property} names '${each}': ${BAD_PATH}`];
    const isPosition = part.version === undefined && DEFAULT_ID.topic.includes(each);
    return isPosition
      ? [
          `${property} names '${each}', which without id and version is the ${each} of the record, not a value in it`,
        ]
      : [];
  });
}

const BAD_PATH = 'a path has names between its dots';

function isPath(path: string): boolean {
  return path.split('.').every((each) => each !== '' && each !== '__proto__');
}

/** Returns all names that a part mentions, each with the property that does. */
function namesOf(part: EventPart | TopicPart): [property: string, name: string][] {
  const { key, id = [], version = [], where = {}, columns: kept = [] } = part;
  return Object.entries({ key, id, version, where: Object.keys(where), columns: kept }).flatMap(
    ([property, given]) =>
      (typeof given === 'string' ? [given] : given).map((each): [string, string] => [
        property,
        each,
      ]),
  );
}

/** Reports parts on one stream of events or records that identify its rows in different ways. */
export function checkStreams(parts: readonly PartSpecification[], report: Report): void {
  for (const [i, part] of parts.entries()) {
    if ('table' in part) continue;
    const first = parts.slice(0, i).find((each) => streamOf(each) === streamOf(part));
    if (first === undefined || identityOf(first) === identityOf(part)) continue;
    report(
      `part ${part.name}: id, version and deletedBy must be those of part ${first.name}, which reads the same events`,
    );
  }
}

function identityOf(part: PartSpecification): string {
  if ('table' in part) return '';
  return JSON.stringify([part.id, part.version, 'deletedBy' in part ? part.deletedBy : null]);
}
