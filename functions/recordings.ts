import { all, defineFunction, TerminalError, type Tx } from 'musterjs';

/** The fields that both parts share. Rows with the same recording and span form a set. */
const TABLE = {
  table: 'datastore.signal',
  key: ['recording', 'span'],
  base64: ['span'], // `span` has a custom range type, whose values Debezium sends as base64-encoded text
} as const;

/** Processes a span of a recording as soon as both of its signals are stored. */
export default defineFunction({
  name: 'recordings',
  parts: {
    eeg: { ...TABLE, where: { sensor_type: 'eeg' } },
    accelerometer: { ...TABLE, where: { sensor_type: 'accelerometer' } },
  },
  complete: all('eeg', 'accelerometer'),
  overdueAfter: '15 minutes',

  async handle(set, { tx, runId }) {
    const { recording, span } = set.key;
    const signals = await readSignals(tx, recording, span);
    const record = processRecord(signals);
    await tx.query(
      `insert into recordings.processed (recording, span, run_id, channels, seconds) values ($1, $2, $3, $4, $5)`,
      [recording, span, runId, JSON.stringify(record.channels), record.seconds],
    );
    return [
      { type: 'recording.processed', subject: recording, data: { recording, span, ...record } },
    ];
  },
});

/** One signal of a recording's span, as stored by the headband's service. */
export interface Signal {
  readonly id: string;
  readonly sensor_type: string;
  readonly channels: readonly string[] | null;
  readonly sample_rate: number | null;
  /** Start of the span in nanoseconds; null if the span is unbounded on that side. */
  readonly from_ns: string | null;
  /** End of the span in nanoseconds; null if the span is unbounded on that side. */
  readonly to_ns: string | null;
}

/** Reads the set's signals from the table: a set itself contains only the columns that its parts keep. */
async function readSignals(tx: Tx, recording: string, span: string): Promise<Signal[]> {
  const { rows } = await tx.query<Signal>(
    `select id, sensor_type, channels, sample_rate, lower(span)::text as from_ns, upper(span)::text as to_ns
     from datastore.signal
     where recording = $1 and span = $2::datastore.time_span and sensor_type in ('eeg', 'accelerometer')
     order by sensor_type, id`,
    [recording, span],
  );
  return rows;
}

/**
 * Returns the channels of each sensor and the length of the span. Throws a {@link TerminalError} if a signal is
 * invalid, because a retry would not help.
 */
export function processRecord(signals: readonly Signal[]): {
  channels: Record<string, readonly string[]>;
  seconds: number | null;
} {
  const channels: Record<string, readonly string[]> = {};
  for (const { id, sensor_type, channels: labels, sample_rate } of signals) {
    if (sample_rate === null || !(sample_rate > 0 && sample_rate <= 100_000)) {
      throw new TerminalError(
        `signal ${id} (${sensor_type}) has a sample rate of ${sample_rate} Hz; it must be above 0 and at most 100000 Hz`,
      );
    }
    if (labels === null || labels.length === 0) {
      throw new TerminalError(`signal ${id} (${sensor_type}) has no channels`);
    }
    if (new Set(labels).size !== labels.length) {
      throw new TerminalError(
        `signal ${id} (${sensor_type}) has duplicate channels: ${labels.join(', ')}`,
      );
    }
    channels[sensor_type] = labels;
  }
  for (const sensor of ['eeg', 'accelerometer']) {
    // The row was deleted after the set became complete. This attempt fails; once Muster ingests the deletion,
    // the set is incomplete and is not run until it is complete again.
    if (channels[sensor] === undefined) {
      throw new Error(`the ${sensor} signal is no longer in the table`);
    }
  }
  const [first] = signals;
  const [from, to] = [first?.from_ns ?? null, first?.to_ns ?? null];
  return {
    channels,
    seconds: from === null || to === null ? null : Number(BigInt(to) - BigInt(from)) / 1e9,
  };
}
