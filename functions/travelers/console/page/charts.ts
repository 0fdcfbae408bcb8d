import { Chart, type ChartData } from './chart.ts';
import type { View } from './view.ts';
import { wasHeard, type Point, type Window } from './windows.ts';
import { countText, inUnit, speedText, timeText, typeName } from './format.ts';

/** The dash pattern of each type, which distinguishes it without colour; the tiles show the same lines. */
export const DASHES: Readonly<Record<string, readonly number[]>> = {
  pedestrian: [],
  bicyclist: [9, 4],
  vehicle: [2, 3],
};

const COUNT_NAMES = {
  present: 'Travelers in view',
  entered: 'Travelers who entered',
  left: 'Travelers who left',
};

/** The content of all charts. */
export interface Shown {
  readonly view: View;
  readonly types: readonly string[];
  readonly windows: readonly Window[];
  readonly from: number;
  readonly to: number;
}

/** The chart of counts, and a chart of speeds for each type. */
export class Charts {
  readonly #counts: HTMLElement;
  readonly #speeds: HTMLElement;
  readonly #announce: (text: string) => void;
  #shown: Shown | null = null;
  #key = '';
  #charts: Chart[] = [];

  constructor(counts: HTMLElement, speeds: HTMLElement, announce: (text: string) => void) {
    this.#counts = counts;
    this.#speeds = speeds;
    this.#announce = announce;
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      for (const chart of this.#charts) chart.redraw();
    });
  }

  show(shown: Shown): void {
    this.#shown = shown;
    const { view, types } = shown;
    const key = [view.unit, view.count, ...types].join();
    if (key !== this.#key) this.#make(view, types);
    this.#key = key;

    const { windows, from, to } = shown;
    const base = {
      times: windows.map((each) => each.end),
      newest: windows.findLastIndex(wasHeard),
      from,
      to,
      finalTo: finalTo(windows),
    };
    const column = (typeIndex: number, name: keyof Point) =>
      windows.map((each) => each.points[typeIndex]?.[name] ?? null);
    const [counts, ...speeds] = this.#charts;
    counts!.show({
      ...base,
      columns: types.map((_, typeIndex) => column(typeIndex, view.count)),
      summary: this.#countSummary(shown),
    });
    for (const [typeIndex, chart] of speeds.entries()) {
      const unit = (value: number | null) => (value === null ? null : inUnit(value, view.unit));
      const columns = (['max', 'min', 'p85', 'average'] as const).map((name) =>
        column(typeIndex, name).map(unit),
      );
      chart.show({ ...base, columns, summary: speedSummary(shown, typeIndex) });
    }
  }

  #make(view: View, types: readonly string[]): void {
    for (const chart of this.#charts) chart.remove();
    this.#speeds.replaceChildren();
    const counts = new Chart(
      this.#counts,
      {
        name: COUNT_NAMES[view.count],
        height: 300,
        lines: types.map((type) => ({ color: colorOf(type), width: 2, dash: DASHES[type] ?? [] })),
        axisText: countText,
        isWhole: true,
        readout: (index) => this.#countReadout(index),
      },
      this.#announce,
    );
    const speeds = types.map((type, typeIndex) => {
      const figure = document.createElement('div');
      figure.className = 'card speed';
      const title = document.createElement('h3');
      title.textContent = typeName(type);
      const plot = document.createElement('div');
      figure.append(title, plot);
      this.#speeds.append(figure);
      const color = colorOf(type);
      return new Chart(
        plot,
        {
          name: `Speed of ${typeName(type).toLowerCase()} in ${view.unit}`,
          height: 200,
          lines: [
            { color: `${color}-faint`, width: 1 },
            { color: `${color}-faint`, width: 1 },
            { color, width: 1.5, dash: [1, 4] },
            { color, width: 2 },
          ],
          band: { upper: 0, lower: 1, color: `${color}-band` },
          isWhole: false,
          axisText: (value) => String(Math.round(value * 10) / 10),
          readout: (index) => this.#speedReadout(index, typeIndex),
        },
        this.#announce,
      );
    });
    this.#charts = [counts, ...speeds];
  }

  #countReadout(index: number): string {
    const { view, types, windows } = this.#shown!;
    const window = windows[index];
    if (window === undefined) return '';
    if (!wasHeard(window)) return notHeard(window);
    const counts = types.map(
      (type, typeIndex) => `${typeName(type)} ${countText(window.points[typeIndex]?.[view.count])}`,
    );
    return [timeText(window.end, 'second'), ...counts].join(' · ');
  }

  #speedReadout(index: number, typeIndex: number): string {
    const { view, windows } = this.#shown!;
    const window = windows[index];
    if (window === undefined) return '';
    if (!wasHeard(window)) return notHeard(window);
    const point = window.points[typeIndex];
    const text = (value: number | null | undefined) => speedText(value, view.unit);
    return [
      timeText(window.end, 'second'),
      `avg ${text(point?.average)}`,
      `85 % ${text(point?.p85)}`,
      `${text(point?.min)}–${text(point?.max)}`,
    ].join(' · ');
  }

  #countSummary({ view, types, windows }: Shown): string {
    const parts = types.map((type, typeIndex) => {
      const values = windows.flatMap((each) => each.points[typeIndex]?.[view.count] ?? []);
      return values.length === 0
        ? `${typeName(type)}: not heard.`
        : `${typeName(type)}: ${countText(Math.min(...values))} to ${countText(Math.max(...values))}.`;
    });
    return parts.join(' ');
  }
}

function speedSummary({ view, windows }: Shown, typeIndex: number): string {
  const averages = windows.flatMap((each) => each.points[typeIndex]?.average ?? []);
  if (averages.length === 0) return 'No traveler moved.';
  const text = (value: number) => speedText(value, view.unit);
  return `The average is ${text(Math.min(...averages))} to ${text(Math.max(...averages))}.`;
}

function notHeard({ end }: Window): string {
  return `${timeText(end, 'second')} · not heard`;
}

/** Returns the end of the last window before the first provisional one. */
function finalTo(windows: readonly Window[]): ChartData['finalTo'] {
  const first = windows.findIndex((each) => each.provisional);
  if (first === -1) return Number.POSITIVE_INFINITY;
  return windows[first - 1]?.end ?? Number.NEGATIVE_INFINITY;
}

/** Returns the CSS custom property that contains the colour of a type. */
function colorOf(type: string): string {
  return `--${type in DASHES ? type : 'travelers'}`;
}
