import type { FastifyInstance } from 'fastify';
import { toCsv, toMetrics } from './answer.ts';
import type { WindowCache } from './cache.ts';
import { readSelection, readWindows, refuseTooMany, type Parameters } from './query.ts';
import { metricsAnswers, metricsQuery } from './schema.ts';
import type { SensorList } from './sensors.ts';

const JSON_TYPE = 'application/json';
const CSV_TYPE = 'text/csv';

/** `GET /metrics`: windows of a time, as JSON or CSV. */
export function addMetrics(app: FastifyInstance, sensors: SensorList, cache: WindowCache): void {
  app.get<{ Querystring: Parameters }>(
    '/metrics',
    {
      schema: {
        operationId: 'getTravelersMetrics',
        summary: 'Counts and speeds of a time',
        description:
          'JSON in columns, or CSV with a line for each series of each window. An answer of final windows only may be kept for a day, any other must be asked for again (`ETag`).',
        querystring: metricsQuery,
        response: metricsAnswers,
      },
    },
    async (request, reply) => {
      const { query } = request;
      void reply.header('vary', 'accept');
      const type =
        query.format === undefined
          ? request.type([JSON_TYPE, CSV_TYPE])
          : { json: JSON_TYPE, csv: CSV_TYPE }[query.format];
      if (type !== JSON_TYPE && type !== CSV_TYPE) {
        const error = `only ${JSON_TYPE} and ${CSV_TYPE} are answered`;
        return reply.code(406).send({ error, reason: 'not-acceptable' });
      }
      const known = await sensors.including(query.sensor);
      const selection = readSelection(query, known.set);
      const windows = readWindows(query, selection, Date.now());
      refuseTooMany(selection, windows, known.set);

      const steps = await cache.read(selection, windows);
      // Final windows never change. What is said of a sensor that came later may: a null for it.
      const isFinal = steps.every((each) => each.final);
      void reply.header('cache-control', isFinal ? 'max-age=86400' : 'no-cache');
      if (type === JSON_TYPE) {
        const answer = toMetrics(selection, steps, known.ids);
        return reply.type(`${JSON_TYPE}; charset=utf-8`).send(answer);
      }
      const from = selection.zone.format(windows.first - selection.step);
      const name = `travelers-${from.slice(0, 16).replaceAll(':', '')}.csv`;
      return reply
        .type(`${CSV_TYPE}; charset=utf-8; header=present`)
        .header('content-disposition', `attachment; filename="${name}"`)
        .send(toCsv(selection, steps, known.ids));
    },
  );
}
