import { defineConsole } from '../../../src/console/plugin.ts';
import { toMetrics, toSensors } from './answer.ts';
import { WindowCache } from './cache.ts';
import { addLive } from './live-route.ts';
import { Live } from './live.ts';
import { addMetrics } from './metrics-route.ts';
import { sensorsAnswers } from './schema.ts';
import { SensorList } from './sensors.ts';
import { databaseSource } from './source.ts';

const DESCRIPTION = `
How many pedestrians, bicyclists and vehicles the street sensors saw, and how fast they were.

- A **window** is half-open and ends with its step: \`[end − window, end)\`; the ends are \`from + step\`, \`from + 2 · step\`, … up to \`to\`.
- A traveler is **in view** from the first to the last sample of a visit; a pause longer than the time-out (10 s unless configured) begins a new visit. Who is in view in several windows is **present** in each.
- A **move** is what lies between two samples of a visit. At the border of a window it is cut in proportion to time.
- The **average** speed is path by time of the moves so cut. **min** and **max** are of the moves that touch the window. **Percentiles** are of the moves' speeds weighted by time, nearest rank, off by 1/16 ft/s or 1/64 of it at most, whichever is more. All speeds are in feet per second.
- Where no sample of the sensors fell into the window, all is **null**: nobody listened. Where they were alive and saw nobody, counts are 0 and speeds null.
- A window is **provisional** until the lateness bound has passed; then it is final, and never changes again. Samples that come later still are in no window; \`/sensors\` counts them.
- Seconds are kept for an hour and minutes for 35 days, unless configured; windows further back begin and end with a minute, or with an hour.
`;

export default defineConsole({
  title: 'Travelers',
  description: DESCRIPTION,
  routes(app, { db, log, stopping }) {
    const source = databaseSource(db);
    const sensors = new SensorList(source);
    const cache = new WindowCache(source);
    const live = new Live({
      log,
      newest: () => source.newest(),
      windows: (selection, windows) => cache.read(selection, windows),
      answer: async (selection, steps) => toMetrics(selection, steps, (await sensors.get()).ids),
    });
    stopping.addEventListener('abort', () => live.stop());

    addMetrics(app, sensors, cache);
    addLive(app, sensors, cache, live);
    app.get(
      '/sensors',
      {
        schema: {
          operationId: 'getTravelersSensors',
          summary: 'The sensors there are',
          response: sensorsAnswers,
        },
      },
      async (_request, reply) => {
        const [{ states }, newest] = await Promise.all([sensors.get(), source.newest()]);
        return reply.header('cache-control', 'no-cache').send(toSensors(states, newest));
      },
    );
  },
});
