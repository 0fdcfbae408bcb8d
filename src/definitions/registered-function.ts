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
