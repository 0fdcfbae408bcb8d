import type { Sighting } from './street.ts';

/**
 * Formats sightings as records of the topic `movements`. Timestamps are in UTC, without an offset. Each
 * second is formatted only once for all of its sightings.
 */
export class RecordWriter {
  #second = Number.NaN;
  #secondText = '';

  /** The JSON of one record. */
  write({ traveler, at, x, y }: Sighting): string {
    const second = Math.floor(at / 1e6);
    if (second !== this.#second) {
      this.#second = second;
      this.#secondText = new Date(second * 1000).toISOString().slice(0, 19);
    }
    const micros = String(at - second * 1e6).padStart(6, '0');
    return `{"traveler_id":"${traveler.id}","traveler_type":"${traveler.type}","position":[${x},${y}],"timestamp":"${this.#secondText}.${micros}","sensor_id":${traveler.sensor}}`;
  }
}
