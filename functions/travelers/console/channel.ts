import type { Readable } from 'node:stream';
import type { Step } from '../query/types.ts';
import type { MetricsAnswer } from './api-answers.ts';
import type { Selection, Windows } from './query.ts';
import { EventStream, toEvent } from './stream.ts';

/** The source of a channel's numbers. */
export interface Numbers {
  windows(selection: Selection, windows: Windows): Promise<readonly Step[]>;
  answer(selection: Selection, steps: readonly Step[]): Promise<MetricsAnswer>;
}

/**
 * All readers of the same numbers. New and changed windows are read once, serialized once, and sent to all of
 * them.
 */
export class Channel {
  readonly #selection: Selection;
  /** Readers that are up to date. */
  readonly #streams = new Set<EventStream>();
  /** Readers that have received nothing yet, with the end of the first window to send to each. */
  readonly #joining = new Map<EventStream, number>();
  /** Windows that have been sent and may still change, as JSON, by their end. */
  readonly #sent = new Map<number, string>();
  /** All windows that end by this time are final and have been sent; null if none has been sent. */
  #finalUntil: number | null = null;
  /** Version of the data, and end of the last window, when windows were last read. */
  #seen = '';

  constructor(selection: Selection) {
    this.#selection = selection;
  }

  get readers(): number {
    return this.#streams.size + this.#joining.size;
  }

  /** Whether a reader has received nothing yet. */
  get isAwaited(): boolean {
    return this.#joining.size > 0;
  }

  /** Adds a reader, to be sent the windows from the one that ends at `first`; returns its stream. */
  join(first: number, onEnd: () => void): Readable {
    const stream = new EventStream(() => {
      this.#streams.delete(stream);
      this.#joining.delete(stream);
      onEnd();
    });
    this.#joining.set(stream, first);
    return stream.body;
  }

  /**
   * Sends all readers the new and changed windows that end by `to`. `version` differs whenever numbers may have
   * changed. Returns the number of readers that were dropped because they don't read.
   */
  async update(numbers: Numbers, version: string, to: number): Promise<number> {
    const joining = [...this.#joining];
    const windows = this.#windows(joining, to);
    const seen = `${version} ${windows?.last}`;
    if (seen === this.#seen && joining.length === 0) return 0;
    const steps = windows === null ? [] : await numbers.windows(this.#selection, windows);
    this.#seen = seen;

    const news = steps.filter((step) => this.#isNew(step));
    for (const step of steps) this.#record(step);
    const event = async (of: readonly Step[]) =>
      toEvent('metrics', await numbers.answer(this.#selection, of), String(this.#finalUntil ?? ''));
    let dropped = 0;
    if (news.length > 0 && this.#streams.size > 0) {
      const changed = await event(news);
      for (const stream of this.#streams) if (!stream.send(changed)) dropped++;
    }
    // Readers that joined since the last update with the same first window are sent the same bytes.
    const events = new Map<number, Buffer>();
    for (const [stream, first] of joining) {
      const all = events.get(first) ?? (await event(steps.filter((step) => step.end >= first)));
      events.set(first, all);
      if (this.#joining.delete(stream)) this.#streams.add(stream);
      stream.send(all);
    }
    return dropped;
  }

  /** Sends an event to all readers. Returns the number of readers that were dropped because they don't read. */
  broadcast(event: Buffer): number {
    let dropped = 0;
    for (const stream of [...this.#streams, ...this.#joining.keys()]) {
      if (!stream.send(event)) dropped++;
    }
    return dropped;
  }

  /** Ends the streams of all readers. */
  end(): void {
    for (const stream of [...this.#streams, ...this.#joining.keys()]) stream.end();
  }

  /** Returns the windows that may have changed or that a joining reader needs; null if there are none yet. */
  #windows(joining: readonly (readonly [EventStream, number])[], to: number): Windows | null {
    const { step } = this.#selection;
    const firsts = joining.map(([, first]) => first);
    if (this.#finalUntil !== null) firsts.push(this.#finalUntil + step);
    else firsts.push(...this.#sent.keys());
    const first = Math.min(...firsts);
    const last = first + Math.floor((to - first) / step) * step;
    return last >= first ? { first, last } : null;
  }

  #isNew(step: Step): boolean {
    const isOld = this.#finalUntil !== null && step.end <= this.#finalUntil;
    return !isOld && this.#sent.get(step.end) !== JSON.stringify(step);
  }

  /** Records that a window was sent. Windows up to the last of an unbroken row of final ones are not read again. */
  #record(step: Step): void {
    if (this.#finalUntil !== null && step.end <= this.#finalUntil) return;
    const isNext =
      this.#finalUntil === null || step.end === this.#finalUntil + this.#selection.step;
    if (step.final && isNext) {
      this.#finalUntil = step.end;
      this.#sent.delete(step.end);
    } else {
      this.#sent.set(step.end, JSON.stringify(step));
    }
  }
}
