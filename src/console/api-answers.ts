/**
 * The response bodies of the console's API. Each is declared once: its type, its JSON Schema in the documentation
 * and the check of every body that is sent are derived from the declaration. The start page is compiled against
 * the types.
 */
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

const count = (description: string) => Type.Integer({ minimum: 0, description });

export type FunctionAnswer = Static<typeof FunctionAnswer>;
/** The state of one function. */
export const FunctionAnswer = Type.Object(
  {
    name: Type.String(),
    page: Type.Union(
      [Type.Object({ title: Type.String(), path: Type.String() }, closed), Type.Null()],
      { description: 'Title of its page, and path relative to the console; null if it has none.' },
    ),
    topic: Type.Union([Type.String(), Type.Null()], {
      description: 'Topic that the projection consumes; null for a set function.',
    }),
    paused: Type.Boolean({
      description: 'Whether the function is paused, which means that no runs are started.',
    }),
    generation: count('Number of its current definition; the first is 1.'),
    running: count('Runs whose handler is executing.'),
    due: count('Complete sets whose run is waiting for a slot.'),
    failed: count('Sets whose run has failed permanently.'),
    overdue: count('Sets that have missed their deadline and are still incomplete.'),
    unsent: count('Outgoing events that have not been sent yet.'),
  },
  closed,
);

export type FunctionsAnswer = Static<typeof FunctionsAnswer>;
/** The body of `GET /api/functions`. */
export const FunctionsAnswer = Type.Object(
  {
    functions: Type.Array(FunctionAnswer),
    parked: count('Number of parked events.'),
    countedTo: count('Largest count that is reported; it means this many or more.'),
  },
  closed,
);

export type Failure = Static<typeof Failure>;
/** The body of every 4xx and 5xx response. */
export const Failure = Type.Object(
  {
    error: Type.String({ description: 'Human-readable description of the error.' }),
    reason: Type.String({ description: 'Machine-readable code of the error.' }),
    field: Type.Optional(
      Type.String({ description: 'Name of the invalid parameter, if the error concerns one.' }),
    ),
  },
  closed,
);
