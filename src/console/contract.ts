/**
 * The answers of the console's API. Each is declared once: the type, the JSON Schema in the documentation and
 * the check of each answer that is sent come from it. The start page is compiled against the types.
 */
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

const count = (description: string) => Type.Integer({ minimum: 0, description });

export type FunctionAnswer = Static<typeof FunctionAnswer>;
/** One function. */
export const FunctionAnswer = Type.Object(
  {
    name: Type.String(),
    page: Type.Union(
      [Type.Object({ title: Type.String(), path: Type.String() }, closed), Type.Null()],
      { description: 'The title and address of its page; null if it has none.' },
    ),
    topic: Type.Union([Type.String(), Type.Null()], {
      description: 'The topic that a projection folds; null for a set function.',
    }),
    paused: Type.Boolean({ description: 'Whether the function is paused: no runs are started.' }),
    generation: count('Number of its current definition, counted from 1.'),
    running: count('Runs whose handler is running.'),
    due: count('Complete sets whose run waits for a slot.'),
    failed: count('Sets whose run has failed for good.'),
    overdue: count('Sets that missed their deadline and are still incomplete.'),
    unsent: count('Outgoing events that have not been sent.'),
  },
  closed,
);

export type FunctionsAnswer = Static<typeof FunctionsAnswer>;
/** The body of `/api/functions`. */
export const FunctionsAnswer = Type.Object(
  {
    functions: Type.Array(FunctionAnswer),
    parked: count('Parked events.'),
    countedTo: count('Counts stop here: this number stands for itself and more.'),
  },
  closed,
);

export type Failure = Static<typeof Failure>;
/** The body of every answer of 4xx and 5xx. */
export const Failure = Type.Object(
  {
    error: Type.String({ description: 'A human-readable sentence.' }),
    reason: Type.String({ description: 'A machine-readable code.' }),
    field: Type.Optional(
      Type.String({ description: 'The parameter that is invalid, if the error is about one.' }),
    ),
  },
  closed,
);
