import type { FastifyInstance } from 'fastify';
import type { WindowCache } from './cache.ts';
import type { Live } from './live.ts';
import { readLiveWindows, readSelection, refuseTooManyLive, type Parameters } from './query.ts';
import { liveAnswers, liveQuery } from './route-schemas.ts';
import type { SensorList } from './sensor-list.ts';

/** Maximum number of streams of one process. A rejected browser reconnects, perhaps to a less busy process. */
const MAX_READERS = 2_000;

const DESCRIPTION = `
Sends server-sent events:

- \`metrics\` has the same body as \`/metrics\`. The first event contains the windows of the time range \`last\`; each later one contains the windows that are new or have changed.
- \`heartbeat\` is sent every 10 s while the numbers can be read.
- \`failure\` is sent when the numbers cannot be read. The stream stays open and continues when they can be read again.

The id of a \`metrics\` event is a time, in milliseconds since 1970 UTC: all windows that end by this time are final. A client that reconnects with this id as \`Last-Event-ID\` misses nothing. A client that does not keep up with the stream is disconnected, and can reconnect in the same way.
`;

/** Adds `GET /live`, which streams new and changed windows as server-sent events. */
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
        summary: 'Live stream of counts and speeds',
        description: DESCRIPTION,
        querystring: liveQuery,
        response: liveAnswers,
      },
      exposeHeadRoute: false, // a HEAD request would open a stream that is never read
    },
    async ({ query, headers }, reply) => {
      const known = await sensors.including(query.sensor);
      const selection = readSelection(query, known.set);
      const windows = readLiveWindows(query, selection, Date.now());
      refuseTooManyLive(selection, windows, known.set);
      if (live.readers >= MAX_READERS) {
        return reply.code(503).send({ error: 'too many streams; try again later', reason: 'busy' });
      }
      // The windows are read before the stream begins, so that an invalid request is rejected with a 400. That is
      // unnecessary if another reader has the same channel.
      if (!live.has(selection, windows.first)) await cache.read(selection, windows);
      const first = resumeAt(headers['last-event-id'], selection.step, windows.first);
      return reply
        .type('text/event-stream; charset=utf-8')
        .header('cache-control', 'no-store, no-transform')
        .header('x-accel-buffering', 'no') // nginx would buffer the events
        .send(live.open(selection, first));
    },
  );
}

/** Returns the end of the first window that the client lacks, or `first` if the client was away for too long. */
function resumeAt(lastEventId: string | string[] | undefined, step: number, first: number): number {
  const next = Number(lastEventId ?? Number.NaN) + step;
  const isEnd = (next - first) % step === 0 && next <= Date.now() + step;
  return isEnd && next > first ? next : first;
}
