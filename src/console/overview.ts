import type { FastifyInstance } from 'fastify';
import { COUNT_LIMIT, overview } from '../state/queries/overview.ts';
import type { Reader } from '../state/database/reader.ts';
import type { FunctionConsole } from './consoles.ts';
import type { FunctionsAnswer } from './contract.ts';
import { failureSchema } from './plugin.ts';

const count = (description: string) => ({ type: 'integer', description });

const answer = {
  type: 'object',
  properties: {
    functions: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          name: { type: 'string' },
          page: {
            type: ['object', 'null'],
            properties: { title: { type: 'string' }, path: { type: 'string' } },
          },
          topic: { type: ['string', 'null'], description: 'What a projection folds.' },
          paused: { type: 'boolean', description: 'No runs are started.' },
          generation: count('Which definition of it this is, counted from 1.'),
          running: count('Runs of a handler under way.'),
          due: count('Complete sets whose run waits for a slot.'),
          failed: count('Sets whose handler gave up.'),
          overdue: count('Sets that were not complete in time, and still are not.'),
          unsent: count('Outgoing events that are not sent yet.'),
        },
      },
    },
    parked: count('Events parked because they can’t be understood.'),
    countedTo: count('No number goes further: it stands for itself and more.'),
  },
} as const;

/** `GET /api/functions`: how every registered function stands. */
export function addOverview(
  app: FastifyInstance,
  db: Reader,
  consoles: readonly FunctionConsole[],
): void {
  app.get(
    '/api/functions',
    {
      schema: {
        tags: ['functions'],
        operationId: 'getFunctions',
        summary: 'How the functions stand',
        response: {
          200: { description: 'All that are registered.', ...answer },
          503: {
            description: 'The database does not answer, or is not migrated.',
            ...failureSchema,
          },
        },
      },
      serializerCompiler: () => JSON.stringify,
    },
    async (_request, reply): Promise<FunctionsAnswer> => {
      const { functions, parked } = await db.read(overview);
      void reply.header('cache-control', 'no-cache');
      return {
        functions: functions.map((each) => ({ ...each, page: pageOf(each.name) })),
        parked,
        countedTo: COUNT_LIMIT,
      };
    },
  );

  function pageOf(name: string): FunctionsAnswer['functions'][number]['page'] {
    const found = consoles.find((each) => each.name === name && each.page !== null);
    return found === undefined ? null : { title: found.title, path: `${name}/` };
  }
}
