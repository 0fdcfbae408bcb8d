/**
 * The response bodies of the console's API. Each is declared once: its type, its JSON Schema in the documentation
 * and the check of every body that is sent are derived from the declaration. The start page is compiled against
 * the types.
 */
import { Type, type Static, type TSchema } from 'typebox';

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

export type IgnoredAnswer = Static<typeof IgnoredAnswer>;
/** What arrives although no function names it. */
export const IgnoredAnswer = Type.Object(
  {
    kind: Type.Enum(['event', 'table', 'other'], {
      description:
        'Events of a type, changes of a table, or all beyond the number counted by name.',
    }),
    name: Type.String({ description: 'The type or the table.' }),
    count: count('How many have arrived.'),
    lastAt: Type.String({ format: 'date-time', description: 'When one was last counted.' }),
    source: Type.Union([Type.String(), Type.Null()], {
      description: 'CloudEvents attribute `source` of one of the latest.',
    }),
    note: Type.String({
      description: 'What was probably meant, or which functions name it by now; may be empty.',
    }),
  },
  closed,
);

export type FunctionsAnswer = Static<typeof FunctionsAnswer>;
/** The body of `GET /api/functions`. */
export const FunctionsAnswer = Type.Object(
  {
    functions: Type.Array(FunctionAnswer),
    parked: count('Number of parked events.'),
    ignored: Type.Array(IgnoredAnswer, {
      description: 'What arrives although no function names it; at most 20 types and tables.',
    }),
    countedTo: count('Largest count that is reported; it means this many or more.'),
    sendPage: Type.Union([Type.String(), Type.Null()], {
      description:
        'Path of the page that sends events, relative to the console; null except in `muster dev`.',
    }),
  },
  closed,
);

const nullable = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description });
const at = (description: string) => nullable(Type.String({ format: 'date-time' }), description);

export type SetsAnswer = Static<typeof SetsAnswer>;
/** The body of `GET /api/functions/{name}/sets`. */
export const SetsAnswer = Type.Object(
  {
    sets: Type.Array(
      Type.Object(
        {
          key: Type.String(),
          status: Type.Enum(['waiting', 'complete', 'running', 'done', 'failed']),
          overdue: Type.Boolean(),
          since: at('When it entered this status; of a waiting set, when its first row arrived.'),
          missing: Type.Array(
            Type.Object(
              { part: Type.String(), have: count('Rows it has.'), need: count('Rows it needs.') },
              closed,
            ),
            { description: 'Parts of which a waiting set has too few rows.' },
          ),
          attempt: nullable(Type.Integer(), 'Attempts of its run so far.'),
          error: nullable(Type.String(), 'Why its last attempt failed.'),
        },
        closed,
      ),
    ),
    limit: count('Maximum number of sets in an answer.'),
  },
  closed,
);

export type ExplanationAnswer = Static<typeof ExplanationAnswer>;
/** The body of `GET /api/functions/{name}/set`. */
export const ExplanationAnswer = Type.Object(
  {
    function: Type.String(),
    key: Type.String(),
    status: Type.Enum(['unknown', 'waiting', 'complete', 'running', 'done', 'failed']),
    missing: Type.Array(Type.String(), { description: 'Parts of which it has too few rows.' }),
    paused: Type.Boolean(),
    generation: count('Number of the newest definition of the function.'),
    workers: Type.Object(
      {
        current: count('Workers that serve the newest definition.'),
        outdated: count('Workers that serve an older one; they start no runs.'),
      },
      closed,
    ),
    parts: Type.Array(
      Type.Object(
        {
          part: Type.String(),
          stream: Type.Optional(
            Type.String({
              description:
                'What it reads if that is no table: `event <type>` or `topic <name>`; rows are events or records then.',
            }),
          ),
          have: count('Rows it has.'),
          need: count('Rows it needs.'),
          unsyncedSince: at('Rows that did not change since then are unknown or lack columns.'),
          rows: Type.Array(
            Type.Object(
              {
                id: Type.String(),
                state: Type.Enum(['present', 'refused']),
                since: Type.String({ format: 'date-time' }),
                lsn: nullable(
                  Type.String(),
                  "Position in the source's log; null if a snapshot read the row.",
                ),
                at: Type.String({
                  format: 'date-time',
                  description: 'Commit or read time at the source.',
                }),
                refusedBy: Type.Optional(
                  Type.Object(
                    { column: Type.String(), wanted: Type.Unknown(), got: Type.Unknown() },
                    { ...closed, description: 'The filter that excludes a refused row.' },
                  ),
                ),
                unavailable: Type.Optional(
                  Type.Array(Type.String(), {
                    description: 'Columns whose value no change has carried yet.',
                  }),
                ),
              },
              closed,
            ),
          ),
        },
        closed,
      ),
    ),
    overdue: nullable(
      Type.Object({ at: Type.String({ format: 'date-time' }), reported: Type.Boolean() }, closed),
      'Deadline of an incomplete set, and whether it was reported.',
    ),
    run: nullable(
      Type.Object(
        {
          revision: Type.Integer(),
          state: Type.String(),
          attempts: Type.Integer(),
          createdAt: at('When the set became complete.'),
          startedAt: at('Start of the last attempt.'),
          finishedAt: at('When the run ended.'),
          dueAt: at('When it is to be started.'),
          leaseUntil: at('Until when its worker has leased it.'),
          lateChanges: count('Changes of its rows since the run began.'),
          lastError: nullable(Type.String(), 'Why the last attempt failed.'),
        },
        closed,
      ),
      'Its run; null if it has never been complete.',
    ),
    events: Type.Array(
      Type.Object(
        {
          id: Type.String(),
          type: Type.String(),
          sentAt: at('When it was sent.'),
          failedAt: at('When the sink refused it for good.'),
          attempts: Type.Integer(),
          error: nullable(Type.String(), 'Why it could not be sent.'),
        },
        closed,
      ),
    ),
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
