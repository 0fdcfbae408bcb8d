import type { Random } from '../lib/random.ts';

export type Sensor = 'eeg' | 'accelerometer' | 'ecg';

/** A row of `datastore.signal`. */
export interface Signal {
  readonly id: string;
  readonly recording: string;
  /** `[0,60000000000)`: nanoseconds since the recording's start. */
  readonly span: string;
  readonly sensor: Sensor;
}

interface Kind {
  readonly channels: readonly string[];
  readonly unit: string;
  readonly rate: number;
  /** A plausible measurement of the sensor at this time in seconds. */
  readonly measure: (seconds: number, channel: number, random: Random) => number;
}

const KINDS: Record<Sensor, Kind> = {
  eeg: {
    channels: ['f7-o1', 'f8-o2', 'f8-f7', 'f8-o1', 'f7-o2'],
    unit: 'microvolt',
    rate: 250,
    // Sleep waves of 2 Hz with 10 µV of noise.
    measure: (seconds, channel, random) =>
      60 * Math.sin(2 * Math.PI * 2 * seconds + channel) + 20 * (random.next() - 0.5),
  },
  accelerometer: {
    channels: ['x', 'y', 'z'],
    unit: 'gforce',
    rate: 50,
    // Lying still: gravity on one axis.
    measure: (_seconds, channel, random) => (channel === 2 ? 1 : 0) + 0.02 * (random.next() - 0.5),
  },
  ecg: {
    channels: ['chest'],
    unit: 'microvolt',
    rate: 250,
    measure: (seconds, _channel, random) =>
      900 * Math.sin(2 * Math.PI * seconds) ** 63 + random.next(),
  },
};

const INSERT = `
insert into datastore.signal
  (id, data, recording, span, sensor_label, sensor_type, channels, sample_unit,
   sample_resolution_in_unit, sample_offset_in_unit, sample_type, sample_rate)
values ($1, $2, $3, $4, $5, $5, $6, $7, 1, 0, 'float32', $8)`;

/**
 * Returns the statement that stores a signal. Its data are short, a few samples per channel, but in one
 * signal of twenty long enough to be TOASTed: an update does not include them then.
 */
export function insertSignal(signal: Signal, random: Random): { text: string; values: unknown[] } {
  const { channels, unit, rate, measure } = KINDS[signal.sensor];
  const samples = random.chance(0.05) ? 200 : 8;
  const data = Buffer.alloc(4 * samples * channels.length);
  for (let sample = 0; sample < samples; sample += 1) {
    for (let channel = 0; channel < channels.length; channel += 1) {
      const value = measure(sample / rate, channel, random);
      data.writeFloatLE(value, 4 * (sample * channels.length + channel));
    }
  }
  const { id, recording, span, sensor } = signal;
  return { text: INSERT, values: [id, data, recording, span, sensor, channels, unit, rate] };
}
