/**
 * Versions of events: a whole number, or a time in RFC 3339, which becomes microseconds. An event and the one that
 * takes it back may have the same version ("cancel revision 3"), and then the latter wins in any order of arrival,
 * which is why the version is doubled: of two equal ones, whatever arrives first would stay.
 */
import type { SourceEpoch } from '../version.ts';

/** Name of the events in `muster.source`. Connectors have no parentheses in theirs, and validate-change.ts refuses it. */
export const EVENTS = '(events)';
/** Above 0, because a version of 0 would be that of a snapshot read. */
const EPOCH = 1;
/** Doubled it fits into a position. */
const LIMIT = 1n << 54n;
/** The only version of an event that never changes. */
const ONLY = 1n;

/** Throws if one of these is not the name of a connector, but that of all events. */
export function refuseEvents(...names: readonly string[]): void {
  if (!names.includes(EVENTS)) return;
  throw new Error(
    `${EVENTS} are all events that are parts by themselves, not a connector: they have no log`,
  );
}

/** Returns the place of all events, given the id of their source: they have no log, so no epoch ends. */
export function placeOfEvents(source: number): SourceEpoch {
  return { source, epoch: EPOCH };
}

/** Returns the position of an event that never changes. */
export function onlyPosition(): bigint {
  return 2n * ONLY;
}

/** Returns the position of a version; null if the value is none. */
export function positionOf(value: unknown, takesBack: boolean): bigint | null {
  const version = readVersion(value);
  if (version === null || version >= LIMIT) return null;
  return 2n * version + (takesBack ? 1n : 0n);
}

/** Describes what is expected of a value that is no version. */
export const EXPECTED_VERSION = 'a whole number below 2^54, or a time since 1970 in RFC 3339';

function readVersion(value: unknown): bigint | null {
  const text = JSON.isRawJSON(value) ? value.rawJSON : value;
  if (typeof text !== 'string' && typeof text !== 'number') return null;
  return /^\d{1,17}$/.test(`${text}`) ? BigInt(text) : microseconds(`${text}`);
}

const TIME = /^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:)(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)$/;

/** Returns a time since 1970; digits beyond microseconds are dropped. */
function microseconds(text: string): bigint | null {
  const [, toMinute, second, fraction = '', zone] = TIME.exec(text) ?? [];
  if (toMinute === undefined) return null;
  // JavaScript knows no leap second
  const isLeap = second === '60';
  const ms = Date.parse(`${toMinute}${isLeap ? '59' : second}${zone}`.toUpperCase());
  if (Number.isNaN(ms) || ms < 0) return null;
  const micros = BigInt(fraction.slice(0, 6).padEnd(6, '0'));
  return BigInt(ms + (isLeap ? 1_000 : 0)) * 1_000n + micros;
}
