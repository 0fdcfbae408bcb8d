import type { PartSpecification } from './part-specification.ts';
import type { Specification } from './specification.ts';

/** A function with the ids that its registration assigned. */
export interface RegisteredFunction {
  readonly id: number;
  readonly generation: number;
  /** Identifies this registration. Statements that depend on the definition compare it. */
  readonly registration: string;
  readonly specification: Specification;
  /** Index of each part in `muster.sets.counts`, from 1. */
  readonly partIndexOf: ReadonlyMap<string, number>;
}

/** Returns the specification of a part by the ids of its function and of itself; undefined for a former part. */
export type PartOf = (fn: number, partIndex: number) => PartSpecification | undefined;

export function partsOf(served: readonly RegisteredFunction[]): PartOf {
  const parts = new Map(
    served.flatMap(({ id, specification, partIndexOf }) =>
      specification.parts.map((part) => [`${id}/${partIndexOf.get(part.name)}`, part] as const),
    ),
  );
  return (fn, partIndex) => parts.get(`${fn}/${partIndex}`);
}
