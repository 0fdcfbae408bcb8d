/** Types with which `defineFunction` and `defineProjection` turn a misspelt property into a compile error. */

/**
 * Makes every property of `T` that `Known` lacks an error. TypeScript checks excess properties in object
 * literals only, and not inside an inferred type or a returned value, where a typo would be ignored.
 */
export type Only<T, Known> = { readonly [X in Exclude<keyof T, keyof Known>]: never };

/** Union of the key columns of all parts. */
export type KeyColumn<Parts extends Record<string, { readonly key: string | readonly string[] }>> =
  {
    [N in keyof Parts]: Parts[N]['key'] extends readonly (infer C extends string)[]
      ? C
      : Parts[N]['key'] extends string
        ? Parts[N]['key']
        : never;
  }[keyof Parts];

/** Type of the events that a handler returns or resolves with, in one list or in a list for each set. */
type EventOf<R> = ElementOf<Awaited<R>> extends infer E ? Flat<E> : never;
type ElementOf<A> = A extends readonly (infer E)[] ? E : never;
type Flat<E> = E extends readonly (infer F)[] ? F : E extends object ? E : never;
/** Properties that a returned event has and `Known` lacks. */
type Misspelt<E, Known> = E extends E ? Exclude<keyof E, keyof Known> & string : never;
/** `R`, or, if its events have an unknown property, a type whose property name is the compiler's message. */
export type OnlyEvents<R, Known> = [Misspelt<EventOf<R>, Known>] extends [never]
  ? R
  : { readonly [X in Misspelt<EventOf<R>, Known> as `an event has no property '${X}'`]: never };
