import type { FastifyInstance } from 'fastify';
import { sensorsAnswers } from './route-schemas.ts';
import { toSensors } from './build-answers.ts';
import type { SensorList } from './sensor-list.ts';
import type { Source } from './source.ts';

/** Adds `GET /sensors`, the sensors with the times of their samples. */
export function addSensors(
  app: FastifyInstance,
  sensors: SensorList,
  source: Pick<Source, 'newest'>,
): void {
  app.get(
    '/sensors',
    {
      schema: {
        operationId: 'getTravelersSensors',
        summary: 'All sensors that have been heard',
        response: sensorsAnswers,
      },
    },
    async (_request, reply) => {
      const [{ states }, newest] = await Promise.all([sensors.get(), source.newest()]);
      return reply.header('cache-control', 'no-cache').send(toSensors(states, newest));
    },
  );
}
