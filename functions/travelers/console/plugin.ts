import { defineConsole } from 'musterjs/console';
import { toMetrics } from './build-answers.ts';
import { WindowCache } from './cache.ts';
import { addLive } from './live-route.ts';
import { Live } from './live.ts';
import { addMetrics } from './metrics-route.ts';
import { addSensors } from './sensors-route.ts';
import { SensorList } from './sensor-list.ts';
import { databaseSource } from './source.ts';

const DESCRIPTION = `
Numbers and speeds of the pedestrians, bicyclists and vehicles that street sensors detected.

- A **window** is half-open and ends with its step: \`[end − window, end)\`. The ends are \`from + step\`, \`from + 2 · step\`, … up to \`to\`.
- A traveler is **in view** from the first to the last sample of a visit. A pause that is longer than the visit timeout (10 s by default) ends the visit. A traveler that is in view in several windows is **present** in each of them.
- A **move** is the segment between two consecutive samples of a visit. It is divided at the borders of windows, in proportion to time.
- The **average** speed is the total path divided by the total time of the parts of moves that lie in the window. **min** and **max** are the speeds of the slowest and the fastest move that touch the window. **Percentiles** are of the moves' speeds, weighted by time, nearest rank; their error is at most 1/16 ft/s or 1/64 of the speed, whichever is greater. All speeds are in feet per second.
- If the sensors sent no sample in a window, all of its values are **null**. If they did, but no traveler of a type was in view, its counts are 0 and its speeds null.
- A window is **provisional** until the lateness bound and the visit timeout have passed. It is then final and never changes again. Samples that arrive even later are in no window; \`/sensors\` counts them.
- By default, numbers are kept by the second for one hour and by the minute for 35 days. Windows further back must begin and end on a full minute or a full hour, respectively.
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
    addSensors(app, sensors, source);
  },
});
