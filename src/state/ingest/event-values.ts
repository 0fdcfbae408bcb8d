import { isDataPath } from '../../definitions/streams.ts';
import { isObject } from '../../lib/exact-json.ts';
import { flawOf, ROUNDED } from '../../lib/storable-json.ts';
import type { EventChange } from '../change.ts';
import type { Problem } from './member.ts';

/** The values that an event, or a record of a topic, has under some names. */
export class EventValues {
  /** A value for each name; null for one that is absent or can't be stored. */
  readonly row: Readonly<Record<string, unknown>>;
  /** Whether the data is JSON, or no name is a path into it. */
  readonly isReadable: boolean;
  readonly #event: EventChange;
  readonly #absent = new Set<string>();
  readonly #flaws = new Map<string, string>();
  /** Names that are paths into the data. */
  readonly #paths = new Set<string>();
  readonly #unreadable: string | null;

  /** `byPosition`: `partition` and `offset` are those of the record. */
  constructor(event: EventChange, names: readonly string[], byPosition: boolean) {
    this.#event = event;
    const { row, problem } = this.#read(new Set(names), byPosition, false);
    this.row = row;
    this.#unreadable = problem;
    this.isReadable = problem === null;
  }

  /**
   * Returns why some names can't be read: the data is not JSON, a value can't be stored, one of the `needed` is absent,
   * or one of `id` is null.
   */
  problemOf(
    names: readonly string[],
    needed: readonly string[],
    id: readonly string[],
  ): Problem | null {
    if (this.#unreadable !== null && names.some((name) => this.#paths.has(name))) {
      return { reason: 'bad-event', detail: this.#unreadable };
    }
    for (const name of names) {
      const flaw = this.#flaws.get(name);
      if (flaw !== undefined) return { reason: 'bad-value', detail: `${name} ${flaw}` };
    }
    const absent = needed.find((name) => this.#absent.has(name));
    if (absent !== undefined) {
      return { reason: 'bad-event', detail: `${absent} is not in the ${this.#what()}` };
    }
    const empty = id.find((name) => this.row[name] === null);
    return empty === undefined
      ? null
      : {
          reason: 'bad-key',
          detail: `${empty} of the ${this.#what()} is null, and can't be an id`,
        };
  }

  #read(
    names: ReadonlySet<string>,
    byPosition: boolean,
    exact: boolean,
  ): { readonly row: Record<string, unknown>; readonly problem: string | null } {
    const row: Record<string, unknown> = {};
    let data: ReturnType<EventChange['data']> | undefined;
    for (const name of names) {
      let value: unknown;
      if (byPosition && this.#event.position !== null && isPosition(name)) {
        value = this.#event.position[name];
      } else if (this.#event.position !== null || isDataPath(name)) {
        this.#paths.add(name);
        data ??= this.#event.data(exact);
        value = 'problem' in data ? undefined : this.#valueAt(data.json, name);
      } else {
        const { attributes } = this.#event;
        value = Object.hasOwn(attributes, name) ? attributes[name] : undefined;
      }
      const flaw = flawOf(value, exact);
      if (flaw === ROUNDED) return this.#read(names, byPosition, true);
      if (flaw !== null) this.#flaws.set(name, flaw);
      if (value === undefined) this.#absent.add(name);
      row[name] = flaw === null ? (value ?? null) : null;
    }
    return { row, problem: data !== undefined && 'problem' in data ? data.problem : null };
  }

  /** Returns undefined if the path does not lead to a value. It goes through objects only. */
  #valueAt(json: unknown, path: string): unknown {
    const steps = path.split('.').slice(this.#event.position === null ? 1 : 0);
    let value = json;
    for (const step of steps) {
      if (!isObject(value) || !Object.hasOwn(value, step)) return undefined;
      value = value[step];
    }
    return value;
  }

  #what(): string {
    const { position, stream } = this.#event;
    return position === null
      ? stream
      : `record of ${stream}, partition ${position.partition}, offset ${position.offset}`;
  }
}

function isPosition(name: string): name is 'partition' | 'offset' {
  return name === 'partition' || name === 'offset';
}

/** Formats a value for a message: at most a line, and nothing of an object's content. */
export function showValue(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 60));
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  if (JSON.isRawJSON(value)) return value.rawJSON.slice(0, 60);
  return Array.isArray(value) ? 'an array' : 'an object';
}
