import type { FastifyInstance } from 'fastify';
import { toCsv, toMetrics } from './build-answers.ts';
import type { WindowCache } from './cache.ts';
import { readSelection, readWindows, refuseTooMany, type Parameters } from './query.ts';
import { metricsAnswers, metricsQuery } from './route-schemas.ts';
import type { SensorList } from './sensor-list.ts';

const JSON_TYPE = 'application/json';
const CSV_TYPE = 'text/csv';

/** Adds `GET /metrics`, which returns the windows of a time range as JSON or CSV. */
export function addMetrics(app: FastifyInstance, sensors: SensorList, cache: WindowCache): void {
  app.get<{ Querystring: Parameters }>(
    '/metrics',
    {
      schema: {
        operationId: 'getTravelersMetrics',
        summary: 'Counts and speeds of a time range',
        description:
          'Returns JSON in columns, or CSV with one line per window and series. A response that contains only final windows may be cached for a day; any other must be revalidated (`ETag`).',
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
        const error = `only ${JSON_TYPE} and ${CSV_TYPE} are available`;
        return reply.code(406).send({ error, reason: 'not-acceptable' });
      }
      const known = await sensors.including(query.sensor);
      const selection = readSelection(query, known.set);
      const windows = readWindows(query, selection, Date.now());
      refuseTooMany(selection, windows, known.set);

      const steps = await cache.read(selection, windows);
      // Final windows never change. Only the list of sensors can: a sensor that is added later has nulls in them.
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
