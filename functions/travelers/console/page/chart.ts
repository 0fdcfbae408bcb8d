// Must precede uPlot, which creates number formats for the browser's language when it is loaded.
// oxlint-disable-next-line import/no-unassigned-import
import 'musterjs/page';
import uPlot from 'uplot';
import { timeText } from './format.ts';
import { ZONE } from './view.ts';

/** A line, or an edge of the band. */
interface Line {
  /** The CSS custom property that contains its colour. */
  readonly color: string;
  readonly width: number;
  readonly dash?: readonly number[];
}

/** The appearance of a chart. */
export interface ChartOptions {
  readonly name: string;
  readonly height: number;
  readonly lines: readonly Line[];
  /** The area between two lines, which are given by their indexes, and the CSS custom property of its colour. */
  readonly band?: { readonly upper: number; readonly lower: number; readonly color: string };
  readonly axisText: (value: number) => string;
  /** Whether all values are whole numbers. */
  readonly isWhole: boolean;
  /** Returns the text that describes a window: the one under the cursor, or the newest one. */
  readonly readout: (index: number) => string;
}

/** The content of a chart. */
export interface ChartData {
  /** Ends of the windows, in seconds since 1970 and in ascending order. */
  readonly times: readonly number[];
  /** The values of each line. */
  readonly columns: readonly (readonly (number | null)[])[];
  /** Index of the newest window in which a sensor was heard; -1 if there is none. */
  readonly newest: number;
  /** Time at the left edge. */
  readonly from: number;
  /** Time at the right edge. */
  readonly to: number;
  /** End of the last final window; later ones are marked as provisional. */
  readonly finalTo: number;
  /** A description of the data for screen readers. */
  readonly summary: string;
}

/** Distances between grid lines for whole numbers: 1, 2, 5, 10, … */
const WHOLE = Array.from({ length: 10 }, (_, power) =>
  [1, 2, 5].map((each) => each * 10 ** power),
).flat();
const FONT = '12px system-ui, sans-serif';

/** A time series chart. All charts of the page share one cursor. */
export class Chart {
  readonly #options: ChartOptions;
  readonly #host: HTMLElement;
  readonly #plotted = document.createElement('div');
  readonly #readout = document.createElement('p');
  readonly #plot: uPlot;
  readonly #watcher: ResizeObserver;
  #data: ChartData = {
    times: [],
    columns: [],
    newest: -1,
    from: 0,
    to: 1,
    finalTo: 0,
    summary: '',
  };

  /** `announce` makes screen readers read the window under the cursor when the keyboard moves it. */
  constructor(host: HTMLElement, options: ChartOptions, announce: (text: string) => void) {
    this.#host = host;
    this.#options = options;
    this.#readout.className = 'readout';
    this.#readout.ariaHidden = 'true';
    this.#plotted.className = 'plot';
    this.#plotted.tabIndex = 0;
    this.#plotted.role = 'img';
    host.append(this.#readout, this.#plotted);
    this.#plot = new uPlot(this.#settings(), [[]], this.#plotted);
    this.#plotted.addEventListener('keydown', (event) => {
      const index = this.#indexAfter(event.key);
      if (index === null) return;
      event.preventDefault();
      this.#moveTo(index);
      const isFinal = this.#data.times[index]! <= this.#data.finalTo;
      announce(`${options.readout(index)}${isFinal ? '' : ' · provisional'}`);
    });
    this.#plotted.addEventListener('blur', () => this.#plot.setCursor({ left: -10, top: -10 }));
    this.#watcher = new ResizeObserver(() => this.#fit());
    this.#watcher.observe(host);
  }

  /** Shows other data. */
  show(data: ChartData): void {
    this.#data = data;
    this.#plot.setData([data.times, ...data.columns] as unknown as uPlot.AlignedData);
    this.#plotted.ariaLabel = `${this.#options.name}. ${data.summary} Use the arrow keys to read single windows; the table below has all numbers.`;
    this.#read();
  }

  /** Redraws the chart after its colours have changed. */
  redraw(): void {
    this.#plot.redraw(false, true);
  }

  /** Removes the chart from the page. */
  remove(): void {
    this.#watcher.disconnect();
    this.#plot.destroy();
    this.#host.replaceChildren();
  }

  #settings(): uPlot.Options {
    const { lines, band, height, axisText, isWhole } = this.#options;
    const grid = { stroke: () => colorOf('--grid'), width: 1 };
    const axis = { stroke: () => colorOf('--muted'), font: FONT, grid, ticks: { show: false } };
    return {
      width: Math.max(this.#host.clientWidth, 120),
      height,
      padding: [8, 20, 0, 0],
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), ZONE),
      cursor: {
        sync: { key: 'time' },
        drag: { setScale: false, x: false, y: false },
        points: { size: 7, width: 2, fill: () => colorOf('--surface') },
        y: false,
      },
      hooks: {
        drawClear: [() => this.#markProvisional()],
        setCursor: [() => this.#read()],
      },
      scales: {
        x: { range: () => [this.#data.from, this.#data.to] },
        y: { range: (_plot, _min, max) => [0, Math.max(max * 1.08, 1)] },
      },
      axes: [
        {
          ...axis,
          size: 28,
          space: labelSpace,
          values: (_plot, at, _axis, _space, incr) => timesText(at, incr),
        },
        {
          ...axis,
          size: 44,
          space: 32,
          values: (_plot, values) => values.map(axisText),
          ...(isWhole ? { incrs: WHOLE } : {}),
        },
      ],
      series: [
        {},
        ...lines.map(({ color, width, dash }) => ({
          stroke: () => colorOf(color),
          width,
          ...(dash === undefined ? {} : { dash: [...dash] }),
          points: { size: 5, show: false, filter: lonePoints },
        })),
      ],
      ...(band === undefined
        ? {}
        : {
            bands: [{ series: [band.upper + 1, band.lower + 1], fill: () => colorOf(band.color) }],
          }),
    };
  }

  #fit(): void {
    const width = this.#host.clientWidth;
    if (width > 0 && width !== this.#plot.width) {
      this.#plot.setSize({ width, height: this.#options.height });
    }
  }

  /** Shades the chart from the first provisional window to the right edge. */
  #markProvisional(): void {
    const { finalTo, from, to, times } = this.#data;
    const first = times.find((time) => time > finalTo);
    if (first === undefined) return;
    const { ctx, bbox } = this.#plot;
    const left = this.#plot.valToPos(Math.max(finalTo, from), 'x', true);
    const right = this.#plot.valToPos(to, 'x', true);
    if (right <= left) return;
    ctx.save();
    ctx.fillStyle = colorOf('--provisional');
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.strokeStyle = colorOf('--muted');
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(left, bbox.top);
    ctx.lineTo(left, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  /** Shows the window under the cursor as text; without a cursor, the newest one. */
  #read(): void {
    const { newest, times } = this.#data;
    const index = this.#plot.cursor.idx ?? newest;
    this.#readout.textContent = index in times ? this.#options.readout(index) : '';
  }

  /** Returns the index to which a key moves the cursor; null if it does not move it. */
  #indexAfter(key: string): number | null {
    const last = this.#data.times.length - 1;
    if (last < 0) return null;
    const at = this.#plot.cursor.idx ?? last;
    switch (key) {
      case 'ArrowLeft':
        return Math.max(at - 1, 0);
      case 'ArrowRight':
        return Math.min(at + 1, last);
      case 'Home':
        return 0;
      case 'End':
        return last;
      default:
        return null;
    }
  }

  #moveTo(index: number): void {
    const left = this.#plot.valToPos(this.#data.times[index]!, 'x');
    this.#plot.setCursor({ left, top: this.#plot.over.clientHeight / 2 });
  }
}

/** Returns the width in pixels to reserve for a time label, which is narrower without seconds. */
function labelSpace(_plot: uPlot, _axis: number, from: number, to: number, width: number): number {
  const secondsPerPixel = (to - from) / width;
  return secondsPerPixel * 44 > 30 ? 44 : 64;
}

function timesText(times: readonly number[], incr: number): string[] {
  if (incr >= 86_400) return times.map((at) => timeText(at, 'day'));
  const detail = incr >= 60 ? 'minute' : 'second';
  return times.map((at, i) => {
    const day = timeText(at, 'day');
    const isNewDay = i > 0 && day !== timeText(times[i - 1]!, 'day');
    return isNewDay ? day : timeText(at, detail);
  });
}

/** Returns the windows between two gaps, which are drawn as points, because there is no line through them. */
function lonePoints(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const lone: number[] = [];
  for (let i = 0; i < values.length; i++) {
    const isLone = (values[i - 1] ?? null) === null && (values[i + 1] ?? null) === null;
    if (isLone && (values[i] ?? null) !== null) lone.push(i);
  }
  return lone;
}

function colorOf(property: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(property).trim();
}
