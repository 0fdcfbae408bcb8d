import type { ReadTime } from './timestamp.ts';

/** Kinds of travelers; the place of each is its number in the tables. */
export const TYPES = ['pedestrian', 'bicyclist', 'vehicle'] as const;

export type TravelerType = (typeof TYPES)[number];

/** Where a sensor saw a traveler. */
export interface Sample {
  readonly sensor: number;
  /** A UUID. */
  readonly traveler: string;
  readonly type: TravelerType;
  /** Microseconds since 1970 UTC. */
  readonly at: number;
  /** Feet. */
  readonly x: number;
  readonly y: number;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const LARGEST_SENSOR = 2 ** 31 - 1;
/** Paths are summed in 10^-15 ft; a coordinate that is no street's would leave no room for them. */
const FARTHEST_FEET = 1_000_000;

/** Reads a record's value; throws an error that says what is wrong with it. */
export function readSample(value: Buffer, readTime: ReadTime): Sample {
  const record = parse(value);
  const { traveler_id: traveler, traveler_type: type, sensor_id: sensor, timestamp } = record;
  if (typeof traveler !== 'string' || !UUID.test(traveler)) {
    throw wrong('traveler_id', 'a UUID', traveler);
  }
  if (!TYPES.includes(type as TravelerType)) {
    throw wrong('traveler_type', `one of ${TYPES.join(', ')}`, type);
  }
  if (!Number.isInteger(sensor) || Number(sensor) < 0 || Number(sensor) > LARGEST_SENSOR) {
    throw wrong('sensor_id', `a whole number from 0 to ${LARGEST_SENSOR}`, sensor);
  }
  const [x, y] = readPosition(record['position']);
  if (typeof timestamp !== 'string') throw wrong('timestamp', 'a text', timestamp);
  return {
    sensor: sensor as number,
    traveler,
    type: type as TravelerType,
    at: readTime(timestamp),
    x,
    y,
  };
}

function parse(value: Buffer): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(withoutMark(value.toString()));
  } catch (error) {
    throw new Error(`the value is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new Error('the value is not a JSON object');
  }
  return parsed as Record<string, unknown>;
}

/** A byte order mark is no part of the JSON, and would be an invisible character in an error. */
function withoutMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function readPosition(position: unknown): readonly [number, number] {
  if (Array.isArray(position) && position.length === 2) {
    const [x, y] = position as [unknown, unknown];
    if (isNear(x) && isNear(y)) return [x, y];
  }
  throw wrong('position', `[x, y], in feet, within ±${FARTHEST_FEET}`, position);
}

function isNear(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= FARTHEST_FEET;
}

function wrong(field: string, wanted: string, value: unknown): Error {
  const shown = value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100);
  return new Error(`${field} must be ${wanted}, and is ${shown}`);
}
