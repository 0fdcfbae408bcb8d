import { Failure, json } from 'musterjs/console';
import { TYPES } from '../ingest/sample.ts';
import { MetricsAnswer, SensorsAnswer } from './api-answers.ts';

/** Examples are part of the description: those in `examples` would be sent when the API is tried out. */
const text = (description: string) => ({ type: 'string', description });

const selection = {
  sensor: text('`all` (the default), or sensors separated by commas, such as `17` or `17,18`.'),
  type: text(
    `\`all\` (the default), or one or more of \`${TYPES.join('`, `')}\`, separated by commas.`,
  ),
  step: text(
    'Time from the end of one window to the end of the next, in s, m, h or d, such as `5m`. Default: `60s`.',
  ),
  window: text(
    'Length of each window, such as `5m`. Default: the step. If it is longer than the step, windows overlap.',
  ),
  group: text(
    'Returns one series per `sensor`, per `type`, or per combination (`sensor,type`). Default: one series, the sum.',
  ),
  tz: text(
    'Time zone of the times in the response, and of parameters without an offset, such as `Europe/Berlin`. Default: `UTC`.',
  ),
};

export const metricsQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...selection,
    from: text(
      'Start of the range, such as `2026-11-21T08:00:00Z`; the first window ends one step later. Default: 60 steps before `to`.',
    ),
    to: text('End of the range; no window ends later. Default: now.'),
    format: {
      type: 'string',
      enum: ['json', 'csv'],
      description: 'Format of the response. It overrides `Accept`, which a link cannot set.',
    },
  },
} as const;

export const liveQuery = {
  type: 'object',
  additionalProperties: false,
  properties: {
    ...selection,
    last: text(
      'Length of the range before now that the first event covers, such as `1h`. Default: `15m`.',
    ),
  },
} as const;

const failures = {
  400: { description: 'A parameter is invalid; `field` is its name.', ...json(Failure) },
  503: { description: 'The database does not answer; try again later.', ...json(Failure) },
};

export const metricsAnswers = {
  200: {
    description: 'The numbers of all windows and series.',
    content: {
      'application/json': { schema: MetricsAnswer },
      'text/csv': { schema: { type: 'string' } },
    },
  },
  304: { description: 'The client has the current response (`If-None-Match`).', type: 'null' },
  406: { description: 'Neither JSON nor CSV is accepted.', ...json(Failure) },
  ...failures,
};

export const sensorsAnswers = {
  200: { description: 'All sensors, in ascending order of their ids.', ...json(SensorsAnswer) },
  503: failures[503],
};

export const liveAnswers = {
  200: {
    description: 'A stream of server-sent events.',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  },
  ...failures,
};
