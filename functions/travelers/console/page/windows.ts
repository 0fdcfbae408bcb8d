import type { MetricsAnswer, Series } from '../api-answers.ts';

/** The numbers of one type in one window; null if the sensors were not heard. */
export interface Point {
  readonly present: number | null;
  readonly entered: number | null;
  readonly left: number | null;
  /** Speeds, in feet per second. */
  readonly min: number | null;
  readonly average: number | null;
  readonly max: number | null;
  readonly p50: number | null;
  readonly p85: number | null;
  readonly p95: number | null;
}

/** The numbers of one window. */
export interface Window {
  /** Seconds since 1970. */
  readonly end: number;
  readonly provisional: boolean;
  /** The numbers of each type, in the order of {@link Windows.types}. */
  readonly points: readonly Point[];
}

/** Returns whether any sensor was heard in the window. */
export function wasHeard({ points }: Window): boolean {
  return points.some((point) => point.present !== null);
}

/** The windows to show. Newer numbers of a window replace older ones. */
export class Windows {
  #types: readonly string[] = [];
  readonly #byEnd = new Map<number, Window>();

  get types(): readonly string[] {
    return this.#types;
  }

  /** Returns all windows, in ascending order. */
  list(): Window[] {
    return [...this.#byEnd.values()].toSorted((a, b) => a.end - b.end);
  }

  clear(): void {
    this.#byEnd.clear();
  }

  add(answer: MetricsAnswer): void {
    this.#types = answer.series.map((each) => each.type);
    for (const [i, end] of answer.ends.entries()) {
      const at = Date.parse(end) / 1000;
      const points = answer.series.map((each) => pointOf(each, i));
      this.#byEnd.set(at, { end: at, provisional: answer.provisional[i] === true, points });
    }
  }

  /** Removes the windows that ended before `end`, in a live view. */
  forgetBefore(end: number): void {
    for (const each of this.#byEnd.keys()) if (each < end) this.#byEnd.delete(each);
  }
}

function pointOf({ present, entered, left, speed }: Series, i: number): Point {
  return {
    present: present[i] ?? null,
    entered: entered[i] ?? null,
    left: left[i] ?? null,
    min: speed.min[i] ?? null,
    average: speed.average[i] ?? null,
    max: speed.max[i] ?? null,
    p50: speed.p50[i] ?? null,
    p85: speed.p85[i] ?? null,
    p95: speed.p95[i] ?? null,
  };
}
