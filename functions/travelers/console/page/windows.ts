import type { MetricsAnswer, Series } from '../contract.ts';

/** What one type did in one window; null where it was not heard. */
export interface Point {
  readonly present: number | null;
  readonly entered: number | null;
  readonly left: number | null;
  /** Feet per second. */
  readonly min: number | null;
  readonly average: number | null;
  readonly max: number | null;
  readonly p50: number | null;
  readonly p85: number | null;
  readonly p95: number | null;
}

export interface Window {
  /** Seconds since 1970. */
  readonly end: number;
  readonly provisional: boolean;
  /** In the order of {@link Windows.types}. */
  readonly points: readonly Point[];
}

/** Did any sensor report anything in it? */
export function wasHeard({ points }: Window): boolean {
  return points.some((point) => point.present !== null);
}

/** The windows that are shown: what comes later of a window takes the place of what there was. */
export class Windows {
  #types: readonly string[] = [];
  readonly #byEnd = new Map<number, Window>();

  get types(): readonly string[] {
    return this.#types;
  }

  /** Rising. */
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

  /** Forgets what ended before, in a view that moves on. */
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
