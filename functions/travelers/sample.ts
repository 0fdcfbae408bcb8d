/** Kinds of travelers; the place of each is its number in the tables. */
export const TYPES = ['pedestrian', 'bicyclist', 'vehicle'] as const;

export type TravelerType = (typeof TYPES)[number];

/** Where a sensor saw a traveler. */
export interface Sample {
  readonly sensor: number;
  /** UUID, lower case. */
  readonly traveler: string;
  readonly type: TravelerType;
  /** Microseconds since 1970 UTC. */
  readonly at: number;
  /** Feet. */
  readonly x: number;
  readonly y: number;
}
