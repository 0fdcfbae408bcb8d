/** The bodies of the requests of the page that sends events, and of their answers. */
import { Type, type Static } from 'typebox';

const closed = { additionalProperties: false };

export type ExamplesAnswer = Static<typeof ExamplesAnswer>;
/** The body of `GET examples`. */
export const ExamplesAnswer = Type.Object(
  {
    url: Type.String({ description: 'Where events are posted to without this page.' }),
    functions: Type.Array(
      Type.Object(
        {
          name: Type.String(),
          examples: Type.Array(
            Type.Object(
              {
                part: Type.String(),
                row: Type.Integer({ description: 'Number of the row, counted from 1.' }),
                of: Type.Integer({ description: 'Rows that the part needs.' }),
                message: Type.String({
                  description: 'A Debezium message or a CloudEvent, as JSON.',
                }),
              },
              closed,
            ),
          ),
        },
        closed,
      ),
    ),
  },
  closed,
);

export type SendRequest = Static<typeof SendRequest>;
/** The body of `POST events`. The message is text, because it may be no JSON: what the intake answers is shown. */
export const SendRequest = Type.Object({ message: Type.String() }, closed);

export type SendAnswer = Static<typeof SendAnswer>;
/** What the intake answered. */
export const SendAnswer = Type.Object(
  {
    status: Type.Integer({ description: 'HTTP status.' }),
    outcome: Type.Enum(['ingested', 'unwanted', 'ignored', 'parked', 'refused']),
    reason: Type.Union([Type.String(), Type.Null()]),
    sets: Type.Array(
      Type.Object(
        {
          function: Type.String(),
          key: Type.String(),
          status: Type.String(),
          missing: Type.Array(Type.String(), { description: 'Parts with too few rows.' }),
        },
        closed,
      ),
    ),
  },
  closed,
);
