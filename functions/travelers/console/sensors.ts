import type { ListedSensor, Source } from './source.ts';

/** So long a list of sensors is good for. */
const GOOD_FOR_MS = 5_000;

export interface KnownSensors {
  readonly states: readonly ListedSensor[];
  readonly ids: readonly number[];
  readonly set: ReadonlySet<number>;
}

/** The sensors there are: asked for at most every few seconds, and once for all who ask meanwhile. */
export class SensorList {
  readonly #source: Pick<Source, 'sensors'>;
  #list: Promise<KnownSensors> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(source: Pick<Source, 'sensors'>) {
    this.#source = source;
  }

  get(): Promise<KnownSensors> {
    const now = performance.now();
    if (this.#list !== undefined && now - this.#readAt < GOOD_FOR_MS) return this.#list;
    return this.#read();
  }

  /** The list, read anew if one of these (as a query names them) is not in it: it may have come since. */
  async including(sensor: string | undefined): Promise<KnownSensors> {
    const list = await this.get();
    const named = (sensor ?? 'all').split(',').map(Number);
    const isNew = named.some((id) => !Number.isNaN(id) && !list.set.has(id));
    return isNew && performance.now() - this.#readAt > GOOD_FOR_MS / 5 ? this.#read() : list;
  }

  #read(): Promise<KnownSensors> {
    this.#readAt = performance.now();
    const list = this.#source.sensors().then((states) => {
      const ids = states.map((each) => each.sensor);
      return { states, ids, set: new Set(ids) };
    });
    list.catch(() => (this.#list = undefined));
    this.#list = list;
    return list;
  }
}
