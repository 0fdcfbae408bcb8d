import type { FastifyInstance } from 'fastify';
import { json } from './plugin.ts';
import { COUNT_LIMIT, overview } from '../state/queries/overview.ts';
import type { Reader } from '../state/database/reader.ts';
import type { FunctionConsole } from './consoles.ts';
import type { DevelopmentPage } from './development-page.ts';
import { Failure, FunctionsAnswer } from './api-answers.ts';

/** Adds `GET /api/functions`, the state of all registered functions. */
export function addOverview(
  app: FastifyInstance,
  db: Reader,
  consoles: readonly FunctionConsole[],
  sendPage: DevelopmentPage | null,
): void {
  app.get(
    '/api/functions',
    {
      schema: {
        tags: ['functions'],
        operationId: 'getFunctions',
        summary: 'State of all functions',
        response: {
          200: { description: 'The state of all registered functions.', ...json(FunctionsAnswer) },
          503: {
            description: 'The database does not answer or is not migrated.',
            ...json(Failure),
          },
        },
      },
    },
    async (_request, reply): Promise<FunctionsAnswer> => {
      const { functions, parked } = await db.read(overview);
      void reply.header('cache-control', 'no-cache');
      return {
        functions: functions.map((each) => ({ ...each, page: pageOf(each.name) })),
        parked,
        countedTo: COUNT_LIMIT,
        sendPage: sendPage === null ? null : sendPage.path.slice(1),
      };
    },
  );

  function pageOf(name: string): FunctionsAnswer['functions'][number]['page'] {
    const found = consoles.find((each) => each.name === name && each.page !== null);
    return found === undefined ? null : { title: found.title, path: `${name}/` };
  }
}
