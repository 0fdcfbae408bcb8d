import type { FastifyInstance } from 'fastify';
import type { WindowCache } from './cache.ts';
import type { Live } from './live.ts';
import { readLiveWindows, readSelection, refuseTooManyLive, type Parameters } from './query.ts';
import { liveAnswers, liveQuery } from './schema.ts';
import type { SensorList } from './sensors.ts';

/** Streams of one process; a browser comes back, and another process may have room. */
const MOST_READERS = 2_000;

const DESCRIPTION = `
Server-sent events:

- \`metrics\` has the body of \`/metrics\` with the windows that are new or have changed; the first one has all of the \`last\` so much time.
- \`heartbeat\` comes every 10 s: all is well.
- \`failure\`: the numbers can't be read now; the stream goes on.

The id of an event is the end, in milliseconds since 1970 UTC, of the newest window up to which all is final. Who comes back with it as \`Last-Event-ID\` misses nothing. Who does not read what is sent is cut off, and may come back so.
`;

/** `GET /live`: windows as they come and change, as server-sent events. */
export function addLive(
  app: FastifyInstance,
  sensors: SensorList,
  cache: WindowCache,
  live: Live,
): void {
  app.get<{ Querystring: Parameters }>(
    '/live',
    {
      schema: {
        operationId: 'streamTravelersMetrics',
        summary: 'Counts and speeds as they come',
        description: DESCRIPTION,
        querystring: liveQuery,
        response: liveAnswers,
      },
      exposeHeadRoute: false, // it would hold a stream that nobody reads
    },
    async ({ query, headers }, reply) => {
      const known = await sensors.including(query.sensor);
      const selection = readSelection(query, known.set);
      const windows = readLiveWindows(query, selection, Date.now());
      refuseTooManyLive(selection, windows, known.set);
      if (live.readers >= MOST_READERS) {
        return reply.code(503).send({ error: 'too many streams, try again', reason: 'busy' });
      }
      // What can't be answered is refused now, not in the stream; who joins others need not ask.
      if (!live.has(selection, windows.first)) await cache.read(selection, windows);
      const first = resumeAt(headers['last-event-id'], selection.step, windows.first);
      return reply
        .type('text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store, no-transform')
        .header('x-accel-buffering', 'no') // nginx would hold events back
        .send(live.open(selection, first));
    },
  );
}

/** The first window that a reader has not got; one that was away for too long begins anew. */
function resumeAt(lastEventId: string | string[] | undefined, step: number, first: number): number {
  const next = Number(lastEventId ?? Number.NaN) + step;
  const isPlace = (next - first) % step === 0 && next <= Date.now() + step;
  return isPlace && next > first ? next : first;
}
