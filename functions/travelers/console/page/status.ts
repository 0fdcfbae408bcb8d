import { byId } from 'musterjs/page';

type State = 'loading' | 'live' | 'ready' | 'empty' | 'failed' | 'disconnected';

/** The state of the page: a label at the top, and a message if there is something to explain. */
export class Status {
  readonly #label = byId('status');
  readonly #message = byId('message');
  readonly #numbers = byId('numbers');

  loading(): void {
    this.#set('loading', 'Loading', '');
  }

  live(isEmpty: boolean): void {
    if (isEmpty) {
      this.#set('empty', 'Live', 'Nothing was heard from these sensors in this period yet.');
    } else this.#set('live', 'Live', '');
  }

  loaded(what: string, isEmpty: boolean): void {
    if (isEmpty) {
      this.#set('empty', 'Empty', 'Nothing was heard from these sensors in this period.');
    } else this.#set('ready', what, '');
  }

  /** Shows an error. `isAtField` means that the form shows it next to the field. */
  failed(message: string, isAtField: boolean): void {
    this.#set('failed', 'Error', isAtField ? 'See the marked field above.' : `${message}.`);
  }

  /** Shows that the numbers are not updated. `why` is the error that the console returned, if any. */
  disconnected(why: string | null): void {
    const what =
      why === null ? 'The console does not answer' : `The console reports an error: ${why}`;
    this.#set(
      'disconnected',
      'Disconnected',
      `${what}. Retrying… The numbers below are the last known ones.`,
    );
  }

  /** Sets the texts. Unchanged texts are not set again, because screen readers would repeat them. */
  #set(state: State, label: string, message: string): void {
    document.documentElement.dataset['state'] = state;
    this.#label.dataset['state'] = state;
    this.#numbers.ariaBusy = String(state === 'loading');
    if (this.#label.textContent !== label) this.#label.textContent = label;
    if (this.#message.textContent !== message) this.#message.textContent = message;
    this.#message.hidden = message === '';
  }
}
