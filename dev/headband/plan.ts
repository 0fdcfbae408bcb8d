import { randomUUID } from 'node:crypto';
import type { Random } from '../lib/random.ts';
import type { Sensor, Signal } from './signal.ts';

export type Action =
  | { readonly kind: 'insert'; readonly signal: Signal }
  /** Writes the row again with a different resolution. */
  | { readonly kind: 'update'; readonly id: string }
  | { readonly kind: 'delete'; readonly id: string };

/** The number of concurrent recordings: one per headband. */
const HEADBANDS = 3;
/** Length of a span, in nanoseconds. */
const SPAN = 60_000_000_000n;

interface Recording {
  readonly id: string;
  span: bigint;
  spansLeft: number;
}

/**
 * Plans the headbands' writes step by step: one signal per step, and occasionally an update or a delete
 * as well. The seed determines the plan; ids are always new, so that a later run adds to the data.
 */
export class HeadbandPlan {
  readonly #random: Random;
  readonly #recordings: Recording[] = [];
  readonly #later = new Map<number, Action[]>();
  #step = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Returns the actions of the next step: exactly one insert, and any other action that is due. */
  next(): readonly Action[] {
    if (!this.#due().some(({ kind }) => kind === 'insert')) this.#beginSpan();
    const [insert, ...postponed] = this.#due().filter(({ kind }) => kind === 'insert');
    const others = this.#due().filter(({ kind }) => kind !== 'insert');
    this.#later.delete(this.#step);
    this.#step += 1;
    this.#due().unshift(...postponed);
    return insert ? [insert, ...others] : others;
  }

  #due(step = this.#step): Action[] {
    let actions = this.#later.get(step);
    if (!actions) this.#later.set(step, (actions = []));
    return actions;
  }

  #at(delay: number, action: Action): void {
    this.#due(this.#step + delay).push(action);
  }

  /** Plans the two signals of a span, and their faults. */
  #beginSpan(): void {
    const random = this.#random;
    const where = this.#nextSpan();
    const signal = (sensor: Sensor): Signal => ({ id: randomUUID(), ...where, sensor });
    // So that every run soon has a set that stays incomplete.
    if (this.#step === 0) return this.#at(0, { kind: 'insert', signal: signal('eeg') });
    const order: Sensor[] = random.chance(0.5)
      ? ['eeg', 'accelerometer']
      : ['accelerometer', 'eeg'];
    const [first, second] = order.map(signal);
    if (!first || !second) return;

    const comesLate = random.chance(0.1);
    const apart = comesLate ? random.between(80, 160) : random.between(1, 25);
    const neverComes = random.chance(0.01);
    this.#at(0, { kind: 'insert', signal: first });
    if (!neverComes) this.#at(apart, { kind: 'insert', signal: second });
    if (random.chance(0.1)) {
      this.#at(random.between(1, 10), { kind: 'insert', signal: signal('ecg') });
    }
    if (random.chance(0.2)) this.#at(random.between(1, 30), { kind: 'update', id: first.id });
    if (random.chance(0.06)) {
      this.#at(apart + random.between(1, 30), { kind: 'delete', id: second.id });
    }
    if (random.chance(0.08)) {
      // Deleted, usually before the second signal arrives, and usually sent again as a new row.
      const takenBack = random.between(1, apart);
      this.#at(takenBack, { kind: 'delete', id: first.id });
      if (random.chance(0.9)) {
        this.#at(takenBack + random.between(1, 30), {
          kind: 'insert',
          signal: signal(first.sensor),
        });
      }
    }
  }

  #nextSpan(): { recording: string; span: string } {
    while (this.#recordings.length < HEADBANDS) {
      this.#recordings.push({ id: randomUUID(), span: 0n, spansLeft: this.#random.between(2, 5) });
    }
    const recording = this.#recordings[this.#random.between(0, HEADBANDS - 1)]!;
    const span = `[${recording.span * SPAN},${(recording.span + 1n) * SPAN})`;
    recording.span += 1n;
    recording.spansLeft -= 1;
    if (recording.spansLeft === 0) this.#recordings.splice(this.#recordings.indexOf(recording), 1);
    return { recording: recording.id, span };
  }
}
