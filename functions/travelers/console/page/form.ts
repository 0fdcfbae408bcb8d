import type { Sensor } from '../api-answers.ts';
import { byId, element } from 'musterjs/page';
import { defaultsOf, type View } from './view.ts';

const FIELDS = ['sensor', 'type', 'last', 'from', 'to', 'step', 'window'] as const;
/** Fields next to which an error can be shown. */
const VALIDATED = ['sensor', 'type', 'last', 'from', 'to', 'step', 'window'] as const;

/** Steps and windows that are suitable for longer live views. */
const SUITABLE: Readonly<Record<string, Pick<View, 'step' | 'window'>>> = {
  '1h': { step: '1m', window: '' },
  '6h': { step: '5m', window: '' },
  '1d': { step: '15m', window: '' },
};

type Control = HTMLSelectElement | HTMLInputElement;

/** The form, which shows a view and calls `onChange` when the user changes it. */
export class Form {
  readonly #form = byId<HTMLFormElement>('form');
  #view: View;
  #offered = '';

  constructor(view: View, onChange: (view: View) => void) {
    this.#view = view;
    for (const name of VALIDATED) {
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
    // The radio buttons of the charts are associated with the form, but are not descendants of it.
    for (const control of this.#form.elements) control.addEventListener('change', changed);
    this.#fill(view);
  }

  /** Fills in another view. */
  show(view: View): void {
    this.#fill(view);
  }

  /** Offers these sensors. Leaves the list alone if it has not changed, because the user may be choosing from it. */
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

  /** Shows an error next to a field; returns false if the form does not show that field. */
  showError(field: string, message: string): boolean {
    const known = VALIDATED.find((name) => name === field);
    if (known === undefined || byId(known).closest<HTMLElement>('.field')!.hidden) return false;
    byId(`${known}-error`).textContent = message;
    byId(known).setAttribute('aria-invalid', 'true');
    return true;
  }

  /** Removes all errors. */
  clearErrors(): void {
    for (const name of VALIDATED) {
      byId(`${name}-error`).textContent = '';
      byId(name).removeAttribute('aria-invalid');
    }
  }

  #read(): View {
    const data = new FormData(this.#form);
    const given = Object.fromEntries(data) as Partial<View>;
    const mode = given['mode'] === 'range' ? 'range' : 'live';
    // A step that suits some minutes is too short for a day, and vice versa.
    const isOther = mode !== this.#view.mode || given.last !== this.#view.last;
    const { step, window } = {
      ...defaultsOf(mode),
      ...(mode === 'live' ? SUITABLE[given.last ?? ''] : {}),
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

/** Sets the value of a control, adding an option if necessary: the URL may contain a value that is not offered. */
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
