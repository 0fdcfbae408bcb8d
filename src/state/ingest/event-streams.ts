import type { RegisteredFunction } from '../../definitions/registered-function.ts';
import type { PartSpecification } from '../../definitions/part-specification.ts';
import { isDataPath, isMessagePart, retractionsOf, streamOf } from '../../definitions/streams.ts';
import type { EventChange, Origin } from '../change.ts';
import { rowsOfEvent, type EventRow } from './event-rows.ts';
import { unwantedEvent } from './explain-change.ts';

/** The functions that read a stream of events or records. */
interface Readers {
  readonly functions: readonly RegisteredFunction[];
  /** Attributes that their parts name. */
  readonly named: readonly string[];
}

/** The streams of events and records that parts of the served functions read. */
export class EventStreams {
  readonly #readers = new Map<string, Readers>();

  constructor(served: readonly RegisteredFunction[]) {
    for (const each of served) {
      for (const part of each.specification.parts.filter(isMessagePart)) {
        this.#add(streamOf(part), each, part);
        const retractions = retractionsOf(part);
        if (retractions !== null) this.#add(retractions, each, part);
      }
    }
  }

  has(stream: string): boolean {
    return this.#readers.has(stream);
  }

  /** Returns the rows of an event for each function that reads it. */
  rowsOf(event: EventChange): (EventRow & { readonly served: RegisteredFunction })[] {
    const functions = this.#readers.get(event.stream)?.functions ?? [];
    return functions.flatMap((served) =>
      rowsOfEvent(event, served).map((row) => ({ ...row, served })),
    );
  }

  /** Returns what is stored of an event that is parked. */
  originOf({ origin, stream }: EventChange): Origin {
    return { ...origin, named: this.#readers.get(stream)?.named ?? [] };
  }

  /** Explains that no function reads a stream; null if one does. */
  whyUnwanted(stream: string): string | null {
    return this.has(stream) ? null : unwantedEvent(stream, [...this.#readers.keys()]);
  }

  #add(stream: string, served: RegisteredFunction, part: PartSpecification): void {
    const { functions, named } = this.#readers.get(stream) ?? { functions: [], named: [] };
    this.#readers.set(stream, {
      functions: [...new Set([...functions, served])],
      named: [...new Set([...named, ...attributesOf(part)])],
    });
  }
}

function attributesOf(part: PartSpecification): string[] {
  if (!('event' in part)) return [];
  const names = part.version === null ? part.columns : [...part.columns, part.version];
  return names.filter((name) => !isDataPath(name));
}
