/** Reads what a function is tested with as intake would. */
import type { Arrival, ArrivingRow } from '../author/arrivals.ts';
import { eventStream, topicStream } from '../definitions/streams.ts';
import { toEventChange, toRecordChange } from '../intake/cloudevents/event-change.ts';
import type { Change, RowChange } from '../state/change.ts';

/** Returns the stream that something arrives on. */
export function streamOfArrival(arrival: Arrival): string {
  if ('table' in arrival) return arrival.table;
  return 'event' in arrival ? eventStream(arrival.event) : topicStream(arrival.topic);
}

/** Returns what arrives as intake would read it; null for a tombstone. `index` is its place in the list, from 1. */
export function toChange(arrival: Arrival, index: number): Change | null {
  if ('table' in arrival) return toRowChange(arrival, index);
  if ('event' in arrival) {
    const { event: type, id = String(index), source = '/events', data } = arrival;
    const attributes = { ...arrival.attributes, specversion: '1.0', id, source, type };
    return toEventChange({ ...asJson(data), type, attributes, data: undefined });
  }
  const { topic, value, partition = 0, offset = index } = arrival;
  if (value === null) return null;
  const type = 'dev.knative.kafka.event';
  const id = `partition:${partition}/offset:${offset}`;
  const attributes = { specversion: '1.0', id, source: `/records#${topic}`, type };
  const event = { ...asJson(value), type, attributes, data: undefined };
  return toRecordChange(event, new Set([topic]));
}

function asJson(data: unknown): { readonly body: Buffer; readonly contentType: string } {
  const body = data === undefined ? '' : JSON.stringify(data);
  return { body: Buffer.from(body), contentType: 'application/json' };
}

/** All positions are in one log, whose time advances by a millisecond per position. */
const LOG_START = Date.UTC(2026, 0, 1);

function toRowChange({ table, row, op = 'c', lsn }: ArrivingRow, index: number): RowChange {
  const position = lsn ?? index;
  return {
    kind: 'row',
    op,
    source: 'rows',
    stream: table,
    lsn: BigInt(position),
    at: LOG_START + position,
    handledAt: LOG_START + position,
    lastCommit: null,
    snapshot: op === 'r' ? 'initial' : null,
    row,
    origin: {
      attributes: { source: '/rows', id: String(index) },
      contentType: 'application/json',
      body: Buffer.from(JSON.stringify(row)),
    },
  };
}
