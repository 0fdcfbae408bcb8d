import type { Selection, Windows } from './query.ts';
import type { Step } from '../query/types.ts';
import type { Source } from './source.ts';

/** Number of windows per block. Blocks are evicted as a whole, least recently used first. */
const BLOCK = 256;
/** Maximum number of cached series, over all windows: 260 bytes each, so 65 MB. */
const MAX_MEASURES = 250_000;

/**
 * Caches windows. A final window never changes, so it is read once; and concurrent requests for the same windows
 * share one read. A page that a hundred people watch therefore costs the database as much as one that a single
 * person watches.
 */
export class WindowCache {
  readonly #source: Pick<Source, 'windows'>;
  readonly #max: number;
  /** Least recently used first. */
  readonly #blocks = new Map<string, Map<number, Step>>();
  readonly #flights = new Map<string, Promise<Step[]>>();
  #measures = 0;

  constructor(source: Pick<Source, 'windows'>, max = MAX_MEASURES) {
    this.#source = source;
    this.#max = max;
  }

  /** Returns all windows of the range, in ascending order. */
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
    const inFlight = this.#flights.get(flight);
    if (inFlight !== undefined) return inFlight;
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
      if (this.#measures <= this.#max) return;
      this.#blocks.delete(name);
      for (const window of block.values()) this.#measures -= costOf(window);
    }
  }
}

/** Returns the cache key of a selection. It does not contain the zone, which affects only the format of times. */
export function keyOf({ sensors, types, bySensor, byType, step, window }: Selection): string {
  return [sensors?.join() ?? 'all', types.join(), bySensor, byType, step, window].join(' ');
}

function blockOf(key: string, step: number, end: number): string {
  return `${key} ${Math.floor(end / (step * BLOCK))}`;
}

/** Returns the number of series that a window counts as; a window without series counts as one. */
function costOf(window: Step): number {
  return Math.max(window.series.length, 1);
}
