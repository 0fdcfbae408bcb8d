const MINUTE = 60_000;
const DAY = 86_400_000;
/** Offsets change only on a quarter of an hour. */
const QUARTER = 15 * MINUTE;

function two(number: number): string {
  return String(number).padStart(2, '0');
}

/** A time zone of the IANA database; converts between local times and instants (ms since 1970 UTC). */
export class Zone {
  readonly name: string;
  readonly #format: Intl.DateTimeFormat;
  readonly #offsets = new Map<number, number>();

  /** Throws a RangeError if there is no such zone. */
  constructor(name: string) {
    this.#format = new Intl.DateTimeFormat('en', { timeZone: name, timeZoneName: 'longOffset' });
    this.name = this.#format.resolvedOptions().timeZone;
  }

  /**
   * Returns the instant of a local time, which is given as if it were UTC. A local time that occurs twice is the
   * earlier one; one that is skipped is interpreted with the offset before the gap (RFC 5545, 3.3.5).
   */
  instantOf(local: number): number {
    const before = this.#offsetAt(local - DAY);
    for (const offset of [before, this.#offsetAt(local + DAY)]) {
      if (this.#offsetAt(local - offset) === offset) return local - offset;
    }
    return local - before;
  }

  /** Formats an instant as in RFC 3339, without a fraction if it is a whole second. */
  format(instant: number): string {
    const offset = this.#offsetAt(instant);
    const minutes = Math.abs(Math.round(offset / MINUTE));
    const sign = offset < 0 ? '-' : '+';
    const local = new Date(instant + offset).toISOString().replace(/(?:\.000)?Z$/, '');
    return offset === 0
      ? `${local}Z`
      : `${local}${sign}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
  }

  #offsetAt(instant: number): number {
    const quarter = Math.floor(instant / QUARTER);
    const known = this.#offsets.get(quarter);
    if (known !== undefined) return known;
    const text = this.#format.formatToParts(instant).find((part) => part.type === 'timeZoneName');
    const [, sign, hours = 0, minutes = 0, seconds = 0] =
      /([+-])(\d\d):(\d\d)(?::(\d\d))?/.exec(text?.value ?? '') ?? [];
    const size = (Number(hours) * 60 + Number(minutes)) * MINUTE + Number(seconds) * 1000;
    const offset = sign === '-' ? -size : size;
    if (this.#offsets.size > 100_000) this.#offsets.clear();
    this.#offsets.set(quarter, offset);
    return offset;
  }
}
