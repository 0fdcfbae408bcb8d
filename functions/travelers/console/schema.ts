import { failureSchema } from '../../../src/console/plugin.ts';
import { TYPES } from '../ingest/sample.ts';

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

const column = (description: string) => ({
  type: 'array',
  items: { type: ['number', 'null'] },
  description,
});

const metrics = {
  type: 'object',
  properties: {
    tz: { type: 'string' },
    stepMs: { type: 'integer' },
    windowMs: { type: 'integer' },
    ends: { type: 'array', items: { type: 'string', format: 'date-time' } },
    provisional: {
      type: 'array',
      items: { type: 'boolean' },
      description: 'True where the window may still change.',
    },
    series: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          sensor: { type: 'string', examples: ['all', '17'] },
          type: { type: 'string', examples: ['all', 'bicyclist'] },
          present: column('Travelers in view; who is in several windows counts in each.'),
          entered: column('Visits that began.'),
          left: column('Visits that ended.'),
          speed: {
            type: 'object',
            description: 'Feet per second; null where nobody moved.',
            properties: {
              min: column('Slowest move.'),
              average: column('Path by time.'),
              max: column('Fastest move.'),
              p50: column('Median by time.'),
              p85: column('85th percentile by time, nearest rank.'),
              p95: column('95th percentile by time, nearest rank.'),
            },
          },
        },
      },
    },
  },
} as const;

const sensors = {
  type: 'object',
  properties: {
    sensors: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          id: { type: 'integer' },
          firstHeard: { type: 'string', format: 'date-time' },
          lastHeard: { type: 'string', format: 'date-time' },
          late: { type: 'integer', description: 'Samples that came too late to be counted.' },
          ahead: {
            type: 'integer',
            description: 'Samples that other sensors contradict: the clock of this one is fast.',
          },
        },
      },
    },
    newest: { type: ['string', 'null'], format: 'date-time' },
    finalTo: { type: ['string', 'null'], format: 'date-time' },
  },
} as const;

/**
 * These describe the answers for the documentation. The bodies are sent as bytes, and no serializer is
 * made of them.
 */
const failures = {
  400: { description: 'A parameter is wrong; `field` names it.', ...json(failureSchema) },
  503: { description: 'Try again: the database does not answer.', ...json(failureSchema) },
};

function json(schema: object): { content: Record<string, { schema: object }> } {
  return { content: { 'application/json': { schema } } };
}

export const metricsAnswers = {
  200: {
    description: 'Numbers of each window of each series.',
    content: {
      'application/json': { schema: metrics },
      'text/csv': { schema: { type: 'string' } },
    },
  },
  304: { description: 'You have it already (`If-None-Match`).', type: 'null' },
  406: { description: 'Neither JSON nor CSV is accepted.', ...json(failureSchema) },
  ...failures,
};

export const sensorsAnswers = {
  200: { description: 'The sensors there are.', ...json(sensors) },
  503: failures[503],
};

export const liveAnswers = {
  200: {
    description: 'Events as they come.',
    content: { 'text/event-stream': { schema: { type: 'string' } } },
  },
  ...failures,
};
