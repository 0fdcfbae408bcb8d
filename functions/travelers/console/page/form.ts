import type { Sensor } from '../contract.ts';
import { byId, element } from '../../../../src/console/page/element.ts';
import { defaultsOf, type View } from './view.ts';

const FIELDS = ['sensor', 'type', 'last', 'from', 'to', 'step', 'window'] as const;
/** Fields that have a place for what is wrong with them. */
const REFUSED = ['sensor', 'type', 'last', 'from', 'to', 'step', 'window'] as const;

/** Points and windows that suit a live view of some length. */
const SUITED: Readonly<Record<string, Pick<View, 'step' | 'window'>>> = {
  '1h': { step: '1m', window: '' },
  '6h': { step: '5m', window: '' },
  '1d': { step: '15m', window: '' },
};

type Control = HTMLSelectElement | HTMLInputElement;

/** The form: shows a view, and tells when somebody changes it. */
export class Form {
  readonly #form = byId<HTMLFormElement>('form');
  #view: View;
  #offered = '';

  constructor(view: View, onChange: (view: View) => void) {
    this.#view = view;
    for (const name of REFUSED) {
      const error = element('p', { class: 'error', id: `${name}-error` });
      byId(name).parentElement!.append(error);
    }
    const changed = () => {
      const next = this.#read();
      this.#fill(next);
      if (next.mode === 'range' && (next.from === '' || next.to === '')) return;
      onChange(next);
    };
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      changed();
    });
    // The radios of the chart belong to the form, but are not in it.
    for (const control of this.#form.elements) control.addEventListener('change', changed);
    this.#fill(view);
  }

  /** Shows another view, as if it had been filled in. */
  show(view: View): void {
    this.#fill(view);
  }

  /** Offers these sensors; does not disturb who is choosing while there are no others. */
  offer(sensors: readonly Sensor[]): void {
    const offered = sensors.map(({ id }) => id).join();
    if (offered === this.#offered) return;
    this.#offered = offered;
    const select = byId<HTMLSelectElement>('sensor');
    const chosen = this.#view.sensor;
    const all = element('option', { value: 'all' }, `All ${sensors.length} sensors`);
    const each = sensors.map(({ id }) => element('option', { value: String(id) }, `Sensor ${id}`));
    select.replaceChildren(all, ...each);
    setValue(select, chosen);
  }

  /** Says what is wrong with a field; false if there is no place for it. */
  refuse(field: string, message: string): boolean {
    const known = REFUSED.find((name) => name === field);
    if (known === undefined || byId(known).closest<HTMLElement>('.field')!.hidden) return false;
    byId(`${known}-error`).textContent = message;
    byId(known).setAttribute('aria-invalid', 'true');
    return true;
  }

  accept(): void {
    for (const name of REFUSED) {
      byId(`${name}-error`).textContent = '';
      byId(name).removeAttribute('aria-invalid');
    }
  }

  #read(): View {
    const data = new FormData(this.#form);
    const given = Object.fromEntries(data) as Partial<View>;
    const mode = given['mode'] === 'range' ? 'range' : 'live';
    // What suits some minutes is too fine for a day, and the other way round.
    const isOther = mode !== this.#view.mode || given.last !== this.#view.last;
    const { step, window } = {
      ...defaultsOf(mode),
      ...(mode === 'live' ? SUITED[given.last ?? ''] : {}),
      ...(isOther ? {} : given),
    };
    const times = mode === 'range' && given['from'] === '' ? lastHour() : {};
    return { ...this.#view, ...given, mode, step, window, ...times };
  }

  #fill(view: View): void {
    this.#view = view;
    for (const name of FIELDS) setValue(byId<Control>(name), view[name]);
    byId<HTMLInputElement>(view.mode).checked = true;
    byId<HTMLInputElement>(view.count).checked = true;
    byId<HTMLInputElement>(view.unit).checked = true;
    for (const field of this.#form.querySelectorAll<HTMLElement>('[data-mode]')) {
      field.hidden = field.dataset['mode'] !== view.mode;
    }
  }
}

/** An address may ask for what the form does not offer. */
function setValue(control: Control, value: string): void {
  if (control instanceof HTMLSelectElement) {
    const isOffered = [...control.options].some((option) => option.value === value);
    if (!isOffered) control.append(element('option', { value }, value));
  }
  control.value = value;
}

function lastHour(): Pick<View, 'from' | 'to'> {
  const now = new Date();
  now.setSeconds(0, 0);
  return { from: localText(new Date(now.getTime() - 3_600_000)), to: localText(now) };
}

function localText(date: Date): string {
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
