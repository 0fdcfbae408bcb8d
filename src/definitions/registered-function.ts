import type { Specification } from './specification.ts';

/** A function as this process serves it, with what registration gave it. */
export interface RegisteredFunction {
  readonly id: number;
  readonly generation: number;
  /** Names this registration; statements that rest on the definition compare it. */
  readonly registration: string;
  readonly specification: Specification;
  readonly partIndexOf: ReadonlyMap<string, number>;
}
