import type { Readable } from 'node:stream';
import type { Step } from '../query/types.ts';
import type { MetricsAnswer } from './contract.ts';
import type { Selection, Windows } from './query.ts';
import { EventStream, toEvent } from './stream.ts';

/** How a channel gets its numbers. */
export interface Numbers {
  windows(selection: Selection, windows: Windows): Promise<readonly Step[]>;
  answer(selection: Selection, steps: readonly Step[]): Promise<MetricsAnswer>;
}

/** Those who watch the same numbers: what is new is read once, written once, and sent to all of them. */
export class Channel {
  readonly #selection: Selection;
  /** Readers who have all that was sent. */
  readonly #streams = new Set<EventStream>();
  /** Readers who have nothing yet, with the first window that each wants. */
  readonly #joining = new Map<EventStream, number>();
  /** What was sent of windows that may still change. */
  readonly #sent = new Map<number, string>();
  /** Every window up to this end was sent and is final; null while none was sent. */
  #finalUntil: number | null = null;
  /** What the database was like when its numbers were read last. */
  #seen = '';

  constructor(selection: Selection) {
    this.#selection = selection;
  }

  get readers(): number {
    return this.#streams.size + this.#joining.size;
  }

  get isAwaited(): boolean {
    return this.#joining.size > 0;
  }

  /** A reader who wants the windows from `first` on. */
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
   * Brings everybody up to `to`. `version` changes whenever numbers may have changed; returns how many
   * readers were dropped because they don't read.
   */
  async update(numbers: Numbers, version: string, to: number): Promise<number> {
    const joining = [...this.#joining];
    const windows = this.#windows(joining, to);
    const seen = `${version} ${windows?.last}`;
    if (seen === this.#seen && joining.length === 0) return 0;
    const steps = windows === null ? [] : await numbers.windows(this.#selection, windows);
    this.#seen = seen;

    const news = steps.filter((step) => this.#isNews(step));
    for (const step of steps) this.#note(step);
    const event = async (of: readonly Step[]) =>
      toEvent('metrics', await numbers.answer(this.#selection, of), String(this.#finalUntil ?? ''));
    let dropped = 0;
    if (news.length > 0 && this.#streams.size > 0) {
      const changed = await event(news);
      for (const stream of this.#streams) if (!stream.send(changed)) dropped++;
    }
    // Who came at the same moment and wants the same is sent the same bytes.
    const events = new Map<number, Buffer>();
    for (const [stream, first] of joining) {
      const all = events.get(first) ?? (await event(steps.filter((step) => step.end >= first)));
      events.set(first, all);
      if (this.#joining.delete(stream)) this.#streams.add(stream);
      stream.send(all);
    }
    return dropped;
  }

  /** Sends an event to all; returns how many were dropped because they don't read. */
  tell(event: Buffer): number {
    let dropped = 0;
    for (const stream of [...this.#streams, ...this.#joining.keys()]) {
      if (!stream.send(event)) dropped++;
    }
    return dropped;
  }

  /** Ends all streams. */
  end(): void {
    for (const stream of [...this.#streams, ...this.#joining.keys()]) stream.end();
  }

  /** All that may have changed, and what those who came want to see; null if there is nothing yet. */
  #windows(joining: readonly (readonly [EventStream, number])[], to: number): Windows | null {
    const { step } = this.#selection;
    const firsts = joining.map(([, first]) => first);
    if (this.#finalUntil !== null) firsts.push(this.#finalUntil + step);
    else firsts.push(...this.#sent.keys());
    const first = Math.min(...firsts);
    const last = first + Math.floor((to - first) / step) * step;
    return last >= first ? { first, last } : null;
  }

  #isNews(step: Step): boolean {
    const isOld = this.#finalUntil !== null && step.end <= this.#finalUntil;
    return !isOld && this.#sent.get(step.end) !== JSON.stringify(step);
  }

  /** Remembers what is sent. What is final, with all before it, is not looked at again. */
  #note(step: Step): void {
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
