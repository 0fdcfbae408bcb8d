import { Failure, json } from '../../../src/console/plugin.ts';
import { TYPES } from '../ingest/sample.ts';
import { MetricsAnswer, SensorsAnswer } from './contract.ts';

/** Examples are in words: as `examples` they would be filled in where the API is tried. */
const text = (description: string) => ({ type: 'string', description });

const selection = {
  sensor: text('`all` (unless given), `17`, or `17,18`.'),
  type: text(`\`all\` (unless given), or of \`${TYPES.join('`, `')}\`, separated by commas.`),
  step: text('From one window’s end to the next: `60s` unless given; s, m, h or d.'),
  window: text(
    'Length of each window, `5m`; the step unless given. Longer than the step, windows overlap: rolling numbers.',
  ),
  group: text(
    'A series for each `sensor`, each `type`, or both (`sensor,type`); otherwise one for the sum.',
  ),
  tz: text(
    'Zone of times without an offset, and of those answered, `Europe/Berlin`; `UTC` unless given.',
  ),
};

export const metricsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...selection,
    from: text(
      'Beginning of the first window’s step, `2026-11-21T08:00:00Z`; 60 steps before `to` unless given.',
    ),
    to: text('No window ends later; now unless given.'),
    format: {
      type: 'string',
      enum: ['json', 'csv'],
      description: 'What `Accept` says otherwise; for links, which can’t say it.',
    },
  },
} as const;

export const liveQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...selection,
    last: text('How far back the stream begins, `1h`; `15m` unless given.'),
  },
} as const;

const failures = {
  400: { description: 'A parameter is wrong; `field` names it.', ...json(Failure) },
  503: { description: 'Try again: the database does not answer.', ...json(Failure) },
};

export const metricsAnswers = {
  200: {
    description: 'Numbers of each window of each series.',
    content: {
      'application/json': { schema: MetricsAnswer },
      'text/csv': { schema: { type: 'string' } },
    },
  },
  304: { description: 'The client has the answer already (`If-None-Match`).', type: 'null' },
  406: { description: 'Neither JSON nor CSV is accepted.', ...json(Failure) },
  ...failures,
};

export const sensorsAnswers = {
  200: { description: 'The sensors there are.', ...json(SensorsAnswer) },
  503: failures[503],
};

export const liveAnswers = {
  200: {
    description: 'Events as they come.',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  },
  ...failures,
};
