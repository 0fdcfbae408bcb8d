import type { ReadTime } from './timestamp.ts';

/** Types of travelers; the index of each is its number in the tables. */
export const TYPES = ['pedestrian', 'bicyclist', 'vehicle'] as const;

export type TravelerType = (typeof TYPES)[number];

/** The position of a traveler, as detected by a sensor at a point in time. */
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
/** Bounds coordinates, because paths are summed in units of 10^-15 ft, and the sums must not overflow. */
const FARTHEST_FEET = 1_000_000;

/** Reads the value of a record; throws an error that names the invalid field. */
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
  if (typeof timestamp !== 'string') throw wrong('timestamp', 'a string', timestamp);
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
    parsed = JSON.parse(withoutByteOrderMark(value.toString()));
  } catch (error) {
    throw new Error(`the value is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw new Error('the value is not a JSON object');
  }
  return parsed as Record<string, unknown>;
}

/** Removes a byte order mark, which is not part of the JSON and would be invisible in an error message. */
function withoutByteOrderMark(text: string): string {
  return text.startsWith('\ufeff') ? text.slice(1) : text;
}

function readPosition(position: unknown): readonly [number, number] {
  if (Array.isArray(position) && position.length === 2) {
    const [x, y] = position as [unknown, unknown];
    if (isCoordinate(x) && isCoordinate(y)) return [x, y];
  }
  throw wrong('position', `[x, y] in feet, within ±${FARTHEST_FEET}`, position);
}

function isCoordinate(value: unknown): value is number {
  return typeof value === 'number' && Math.abs(value) <= FARTHEST_FEET;
}

function wrong(field: string, expected: string, value: unknown): Error {
  const shown = value === undefined ? 'missing' : JSON.stringify(value).slice(0, 100);
  return new Error(`${field} must be ${expected}, but is ${shown}`);
}
