import { fetchMetrics, fetchSensors, liveUrl, metricsUrl, ApiError } from './api.ts';
import { Charts } from './charts.ts';
import { byId } from 'musterjs/page';
import { Form } from './form.ts';
import { follow } from './live.ts';
import { Status } from './status.ts';
import { Table } from './table.ts';
import { showTiles } from './tiles.ts';
import { fromAddress, seconds, toAddress, toParameters, ZONE } from './view.ts';
import { wasHeard, Windows } from './windows.ts';
import { countText } from './format.ts';

const SENSORS_EVERY_MS = 60_000;
/** Differences up to this are ignored: the server sends its time in whole seconds, and the response takes time. */
const CLOCK_TOLERANCE_MS = 3_000;

const status = new Status();
const announcer = byId('announcer');
const charts = new Charts(byId('counts'), byId('speeds'), (text) => {
  announcer.textContent = text;
});
const table = new Table();
const windows = new Windows();

let view = fromAddress(location.search);
/** Aborts the requests of the current view. */
let current = new AbortController();
/** Milliseconds by which the server's clock is ahead of the browser's. */
let clockAhead = 0;

const form = new Form(view, (next) => {
  view = next;
  history.pushState(null, '', toAddress(view));
  void load();
});

addEventListener('popstate', () => {
  view = fromAddress(location.search);
  form.show(view);
  void load();
});

/** Loads and shows the current view. */
async function load(): Promise<void> {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  windows.clear();
  table.reset();
  form.clearErrors();
  status.loading();
  if (view.mode === 'live') await loadLive(signal);
  else await loadRange(signal);
}

async function loadRange(signal: AbortSignal): Promise<void> {
  const parameters = toParameters(view);
  parameters.set('from', view.from);
  parameters.set('to', view.to);
  try {
    windows.add(await fetchMetrics(parameters, signal));
    render();
    const { length } = windows.list();
    status.loaded(`${length} ${length === 1 ? 'window' : 'windows'}`, isEmpty());
  } catch (error) {
    if (!signal.aborted) showError(error);
  }
}

async function loadLive(signal: AbortSignal): Promise<void> {
  const parameters = toParameters(view);
  parameters.set('last', view.last);
  const listener = {
    clock(aheadMs: number) {
      clockAhead = Math.abs(aheadMs) > CLOCK_TOLERANCE_MS ? aheadMs : 0;
    },
    metrics(answer: Parameters<Windows['add']>[0]) {
      windows.add(answer);
      windows.forgetBefore(now() - seconds(view.last) - seconds(view.step));
      render();
      status.live(isEmpty());
    },
    alive() {
      if (windows.types.length === 0) return; // the first numbers have not arrived yet
      render();
      status.live(isEmpty());
    },
    failing: () => status.disconnected('the database does not answer'),
    disconnected: (why: string | null) => status.disconnected(why),
    rejected: showError,
  };
  await follow(liveUrl(parameters), listener, signal);
}

function showError(error: unknown): void {
  const isField =
    error instanceof ApiError &&
    error.field !== undefined &&
    form.showError(error.field, error.message);
  status.failed(error instanceof Error ? error.message : String(error), isField);
}

function isEmpty(): boolean {
  return !windows.list().some(wasHeard);
}

function render(): void {
  const list = windows.list();
  const live = { from: now() - seconds(view.last), to: now() };
  const step = seconds(view.step);
  const range = { from: (list[0]?.end ?? 1) - step, to: list.at(-1)?.end ?? 1 };
  const { types } = windows;
  if (types.length === 0) return;
  charts.show({ view, types, windows: list, ...(view.mode === 'live' ? live : range) });
  showTiles(byId('tiles'), byId('now-title'), view, types, list);
  table.show(view, types, list);
  byId<HTMLAnchorElement>('csv').href = csvAddress(list[0]?.end, list.at(-1)?.end);
}

/** Returns the server's time in seconds since 1970: by a wrong clock of the browser, windows would be off the chart. */
function now(): number {
  return (Date.now() + clockAhead) / 1000;
}

/** Returns the URL of the shown windows as CSV. It contains the times of a live view, so that the file matches it. */
function csvAddress(first: number | undefined, last: number | undefined): string {
  const parameters = toParameters(view);
  parameters.set('format', 'csv');
  if (first !== undefined && last !== undefined) {
    parameters.set('from', instant(first - seconds(view.step)));
    parameters.set('to', instant(last));
  }
  return metricsUrl(parameters);
}

function instant(at: number): string {
  return new Date(at * 1000).toISOString();
}

/** Updates the list of sensors and the notes about them. */
async function loadSensors(): Promise<void> {
  try {
    const { sensors } = await fetchSensors();
    form.offer(sensors);
    const late = sensors.reduce((sum, each) => sum + each.late, 0);
    byId('late').textContent =
      late === 0
        ? ''
        : `${countText(late)} ${late === 1 ? 'sample' : 'samples'} arrived too late to be counted.`;
    const fast = sensors.filter((each) => each.ahead > 0).map(({ id }) => id);
    byId('ahead').textContent =
      fast.length === 0
        ? ''
        : fast.length === 1
          ? `The clock of sensor ${fast[0]} was ahead of the others; its samples count in the windows of its own time.`
          : `The clocks of sensors ${fast.join(', ')} were ahead of the others; their samples count in the windows of their own time.`;
  } catch {
    // The loading of the numbers reports the error.
  }
}

byId('zone').textContent = `Times are in ${ZONE.replaceAll('_', ' ')}.`;
void load();
void loadSensors();
setInterval(() => void loadSensors(), SENSORS_EVERY_MS);
