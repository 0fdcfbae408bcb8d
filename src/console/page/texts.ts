import { element } from '../browser/element.ts';

const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

/** A time as an element; nothing for null. */
export function since(time: string | null): Node | string {
  return time === null ? '' : element('time', { datetime: time }, TIME.format(new Date(time)));
}

/** A status as a label; one that somebody should look at has the colour of errors. */
export function statusOf(status: string): HTMLElement {
  return element('span', { class: 'label', 'data-status': status }, status);
}

/** Fragment of the address at which a set is explained. */
export function linkTo(name: string, key: string): string {
  return `#/${encodeURIComponent(name)}/${encodeURIComponent(key)}`;
}
