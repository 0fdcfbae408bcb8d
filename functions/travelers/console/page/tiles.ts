import { DASHES } from './charts.ts';
import { element } from 'musterjs/page';
import type { View } from './view.ts';
import { wasHeard, type Point, type Window } from './windows.ts';
import { countText, durationText, speedText, timeText, typeName } from './format.ts';

const SVG = 'http://www.w3.org/2000/svg';

/** Shows the newest window in which a sensor was heard: one tile per type. The tiles are also the charts' legend. */
export function showTiles(
  host: HTMLElement,
  title: HTMLElement,
  view: View,
  types: readonly string[],
  windows: readonly Window[],
): void {
  const newest = windows.findLast(wasHeard);
  title.textContent =
    newest === undefined
      ? 'Newest window'
      : `In the ${durationText(view.window || view.step)} before ${timeText(newest.end, 'full')}${newest.provisional ? ', provisional' : ''}`;
  host.replaceChildren(
    ...types.map((type, typeIndex) => tile(type, newest?.points[typeIndex], view)),
  );
}

function tile(type: string, point: Point | undefined, view: View): HTMLElement {
  const name = element('h3', {}, typeName(type));
  name.prepend(swatch(type));
  const speed = (value: number | null | undefined) => `${speedText(value, view.unit)} ${view.unit}`;
  return element(
    'article',
    { class: 'tile', 'data-type': type },
    name,
    element('p', { class: 'figure' }, countText(point?.present), element('span', {}, ' in view')),
    element(
      'dl',
      {},
      ...pair('Entered', countText(point?.entered)),
      ...pair('Left', countText(point?.left)),
      ...pair('Average', speed(point?.average)),
      ...pair('85 % under', speed(point?.p85)),
    ),
  );
}

function pair(term: string, value: string): HTMLElement[] {
  return [element('div', {}, element('dt', {}, term), element('dd', {}, value))];
}

/** Draws the line of a type, as in the charts. */
function swatch(type: string): SVGElement {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'swatch');
  svg.setAttribute('viewBox', '0 0 28 8');
  svg.setAttribute('aria-hidden', 'true');
  const line = document.createElementNS(SVG, 'path');
  line.setAttribute('d', 'M1 4H27');
  line.setAttribute('stroke-dasharray', (DASHES[type] ?? []).join(' '));
  svg.append(line);
  return svg;
}
