import type { ListedSensor, Source } from './source.ts';

/** Time for which a list of sensors is cached. */
const CACHED_FOR_MS = 5_000;

/** All sensors that have been heard. */
export interface KnownSensors {
  readonly states: readonly ListedSensor[];
  readonly ids: readonly number[];
  readonly set: ReadonlySet<number>;
}

/** Caches the list of sensors for a few seconds; concurrent requests share one query. */
export class SensorList {
  readonly #source: Pick<Source, 'sensors'>;
  #list: Promise<KnownSensors> | undefined;
  #readAt = Number.NEGATIVE_INFINITY;

  constructor(source: Pick<Source, 'sensors'>) {
    this.#source = source;
  }

  get(): Promise<KnownSensors> {
    const now = performance.now();
    if (this.#list !== undefined && now - this.#readAt < CACHED_FOR_MS) return this.#list;
    return this.#read();
  }

  /**
   * Returns the list. Reads it again if it lacks a sensor of this parameter, which may have been added since; but
   * at most once per second.
   */
  async including(sensor: string | undefined): Promise<KnownSensors> {
    const list = await this.get();
    const named = (sensor ?? 'all').split(',').map(Number);
    const isNew = named.some((id) => !Number.isNaN(id) && !list.set.has(id));
    return isNew && performance.now() - this.#readAt > CACHED_FOR_MS / 5 ? this.#read() : list;
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
