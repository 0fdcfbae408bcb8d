import { defineFunction, type FunctionDefinition } from '../../src/function.ts';
import type { RowChange } from '../../src/state/change.ts';

/**
 * The workload: signals of headbands, as functions/recordings.ts ingests them, with a handler that does
 * nothing. A set's rows arrive a thousand events apart, so that no batch contains two of them.
 */
export interface Workload {
  /** Rows per set: 2, or another even number. */
  readonly rowsPerSet: number;
  /** Whether a waiting set has a deadline. */
  readonly deadlines: boolean;
  /** Whether sets become complete when all rows have arrived; otherwise they need one row too many. */
  readonly completes: boolean;
}

const SETS = 1024;
/** Base64 of `[0,60000000000)`, as Debezium sends a custom range type. */
const SPAN = 'WzAsNjAwMDAwMDAwMDAp';

export function definitionOf({ rowsPerSet, deadlines, completes }: Workload): FunctionDefinition {
  const table = {
    table: 'datastore.signal',
    key: ['recording', 'span'],
    base64: ['span'],
    count: rowsPerSet / 2 + (completes ? 0 : 1),
  } as const;
  return defineFunction({
    name: 'bench',
    parts: {
      eeg: { ...table, where: { sensor_type: 'eeg' } },
      accelerometer: { ...table, where: { sensor_type: 'accelerometer' } },
    },
    ...(deadlines && { overdueAfter: '1 hour' as const }),
    handle() {},
  });
}

/** Returns the set and the part of event `n`. */
function placeOf(n: number, { rowsPerSet }: Workload): { set: number; part: number } {
  const block = Math.floor(n / (SETS * rowsPerSet));
  const place = n % (SETS * rowsPerSet);
  const turn = Math.floor(place / SETS);
  // a different order of the sets in each turn: 389 and 1024 are coprime
  const set = block * SETS + ((place * 389 + turn * 57) % SETS);
  return { set, part: turn < rowsPerSet / 2 ? 0 : 1 };
}

/** Returns the number of the event that is the second row of the `n`th pair. 1,024 of them, from a multiple, are 1,024 sets. */
export function secondRow(n: number): number {
  return Math.floor(n / SETS) * SETS * 2 + SETS + (n % SETS);
}

function uuid(kind: string, n: number): string {
  return `0193b00${kind}-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Returns the expected rows after the events from `from` to `to` (exclusive). */
export function expected(
  workload: Workload,
  from: number,
  to: number,
): { members: number; sets: number; complete: number } {
  const rows = new Map<number, number>();
  for (let n = from; n < to; n++) {
    const { set } = placeOf(n, workload);
    rows.set(set, (rows.get(set) ?? 0) + 1);
  }
  const complete = [...rows.values()].filter((each) => each === workload.rowsPerSet).length;
  return { members: to - from, sets: rows.size, complete: workload.completes ? complete : 0 };
}

const SENSORS = [
  {
    label: 'eeg',
    channels: ['f7-o1', 'f8-o2', 'f8-f7', 'f8-o1', 'f7-o2'],
    unit: 'microvolt',
    rate: 250,
  },
  { label: 'accelerometer', channels: ['x', 'y', 'z'], unit: 'gforce', rate: 50 },
] as const;

function rowOf(n: number, workload: Workload): Record<string, unknown> {
  const { set, part } = placeOf(n, workload);
  const { label, channels, unit, rate } = SENSORS[part as 0 | 1];
  return {
    id: uuid('1', n),
    data: 'eA==',
    recording: uuid('0', set),
    span: SPAN,
    sensor_label: label,
    sensor_type: label,
    channels,
    sample_unit: unit,
    sample_resolution_in_unit: 1,
    sample_offset_in_unit: 0,
    sample_type: 'float32',
    sample_rate: rate,
    created_at: '2026-11-21T08:50:13.225769Z',
  };
}

const ORIGIN = { attributes: {}, contentType: null, body: new Uint8Array(1100) };

/** Returns event `n` as intake passes it to state. Positions grow with `n`, times are now. */
export function changeOf(n: number, workload: Workload): RowChange {
  return {
    kind: 'row',
    op: 'c',
    source: 'bench',
    stream: 'datastore.signal',
    lsn: BigInt(8 * (n + 1)),
    at: Date.now(),
    handledAt: Date.now(),
    lastCommit: null,
    snapshot: null,
    row: rowOf(n, workload),
    origin: ORIGIN,
  };
}

const HEAD = [
  'POST / HTTP/1.1',
  'user-agent: Vert.x-WebClient/4.5.21',
  'Prefer: reply',
  'Kn-Namespace: shop',
  'ce-specversion: 1.0',
  'ce-source: /apis/v1/namespaces/shop/kafkasources/signal-source#postgres.datastore.signal',
  'ce-type: dev.knative.kafka.event',
  'ce-time: 2026-01-02T03:04:05.678Z',
  'ce-knativekafkapartition: 0',
  'host: recordings.shop.svc.cluster.local',
].join('\r\n');

/** Returns event `n` as Debezium writes it to Kafka, all of it ASCII. */
export function recordOf(n: number, workload: Workload): string {
  const { lsn, at, row } = changeOf(n, workload);
  const position = Number(lsn);
  return JSON.stringify({
    before: null,
    after: row,
    source: {
      version: '3.7.0.Final',
      connector: 'postgresql',
      name: 'bench',
      ts_ms: at,
      snapshot: 'false',
      db: 'app',
      sequence: `[null,"${position}"]`,
      ts_us: at * 1000,
      ts_ns: at * 1_000_000,
      schema: 'datastore',
      table: 'signal',
      txId: 13_038,
      lsn: position,
      xmin: null,
      origin: null,
      origin_lsn: null,
    },
    transaction: null,
    op: 'c',
    ts_ms: at,
    ts_us: at * 1000,
    ts_ns: at * 1_000_000,
  });
}

/** Returns event `n` as the bytes of a KafkaSource's request, all of them ASCII. */
export function requestOf(
  n: number,
  workload: Workload,
  traceparent?: 'sampled' | 'unsampled',
): string {
  const body = recordOf(n, workload);
  const id = n.toString(16).padStart(16, '0');
  const trace =
    traceparent === undefined
      ? ''
      : `\r\ntraceparent: 00-0193b004${id}a1b2c3d4-c${id.slice(1)}-0${traceparent === 'sampled' ? 1 : 0}`;
  return `${HEAD}${trace}\r\nce-id: partition:0/offset:${n}\r\nce-subject: partition:0#${n}\r\nce-knativekafkaoffset: ${n}\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
}
