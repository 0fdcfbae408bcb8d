import type { Selection, Windows } from './query.ts';
import type { Step } from '../query/types.ts';
import type { Source } from './source.ts';

/** Windows kept together, so that what is used least goes together. */
const BLOCK = 256;
/** Series of windows that are kept, in all: 260 bytes each, so 65 MB. */
const MOST_MEASURES = 250_000;

/**
 * Final windows never change, so they are read once; and what many ask for at the same moment is
 * read once for all of them. So a page that a hundred people watch costs the database what one costs.
 */
export class WindowCache {
  readonly #source: Pick<Source, 'windows'>;
  readonly #most: number;
  /** Least recently used first. */
  readonly #blocks = new Map<string, Map<number, Step>>();
  readonly #flights = new Map<string, Promise<Step[]>>();
  #measures = 0;

  constructor(source: Pick<Source, 'windows'>, most = MOST_MEASURES) {
    this.#source = source;
    this.#most = most;
  }

  /** Every window of the range, rising. */
  async read(selection: Selection, windows: Windows): Promise<Step[]> {
    const { step } = selection;
    const key = keyOf(selection);
    const found = new Map<number, Step>();
    const missing: { first: number; last: number }[] = [];
    for (let end = windows.first; end <= windows.last; end += step) {
      const known = this.#find(key, step, end);
      if (known !== undefined) found.set(end, known);
      else if (missing.at(-1)?.last === end - step) missing.at(-1)!.last = end;
      else missing.push({ first: end, last: end });
    }
    const read = await Promise.all(missing.map((range) => this.#fetch(key, selection, range)));
    for (const window of read.flat()) found.set(window.end, window);
    return [...found.values()].toSorted((a, b) => a.end - b.end);
  }

  #fetch(key: string, selection: Selection, range: Windows): Promise<Step[]> {
    const flight = `${key} ${range.first} ${range.last}`;
    const under = this.#flights.get(flight);
    if (under !== undefined) return under;
    const reading = this.#source
      .windows(selection, range)
      .then((read) => {
        const windows = [...read];
        for (const window of windows) {
          if (window.final) this.#keep(key, selection.step, window);
        }
        this.#trim();
        return windows;
      })
      .finally(() => this.#flights.delete(flight));
    this.#flights.set(flight, reading);
    return reading;
  }

  #find(key: string, step: number, end: number): Step | undefined {
    const name = blockOf(key, step, end);
    const block = this.#blocks.get(name);
    if (block === undefined) return undefined;
    this.#blocks.delete(name);
    this.#blocks.set(name, block);
    return block.get(end);
  }

  #keep(key: string, step: number, window: Step): void {
    const name = blockOf(key, step, window.end);
    const block = this.#blocks.get(name) ?? new Map<number, Step>();
    this.#blocks.set(name, block);
    if (!block.has(window.end)) this.#measures += costOf(window);
    block.set(window.end, window);
  }

  #trim(): void {
    for (const [name, block] of this.#blocks) {
      if (this.#measures <= this.#most) return;
      this.#blocks.delete(name);
      for (const window of block.values()) this.#measures -= costOf(window);
    }
  }
}

/** Selections that are answered alike have one key; the zone is only for how times are written. */
export function keyOf({ sensors, types, bySensor, byType, step, window }: Selection): string {
  return [sensors?.join() ?? 'all', types.join(), bySensor, byType, step, window].join(' ');
}

function blockOf(key: string, step: number, end: number): string {
  return `${key} ${Math.floor(end / (step * BLOCK))}`;
}

/** A window without numbers takes its place too. */
function costOf(window: Step): number {
  return Math.max(window.series.length, 1);
}
