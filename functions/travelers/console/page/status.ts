import { byId } from '../../../../src/console/page/element.ts';

type State = 'loading' | 'live' | 'ready' | 'empty' | 'failed' | 'disconnected';

/** How things are: a word at the top, and a sentence where there is something to say. */
export class Status {
  readonly #word = byId('status');
  readonly #message = byId('message');
  readonly #numbers = byId('numbers');

  loading(): void {
    this.#set('loading', 'Loading', '');
  }

  live(isEmpty: boolean): void {
    if (isEmpty) {
      this.#set('empty', 'Live', 'Nothing was heard from these sensors in this time yet.');
    } else this.#set('live', 'Live', '');
  }

  loaded(what: string, isEmpty: boolean): void {
    if (isEmpty) this.#set('empty', 'Empty', 'Nothing was heard from these sensors in this time.');
    else this.#set('ready', what, '');
  }

  /** `isAtField`: it is said where the field is. */
  failed(message: string, isAtField: boolean): void {
    this.#set(
      'failed',
      'Can’t be shown',
      isAtField ? 'See the marked field above.' : `${message}.`,
    );
  }

  disconnected(why: string | null): void {
    const what = why === null ? 'The console does not answer' : `The console says: ${why}`;
    this.#set(
      'disconnected',
      'Disconnected',
      `${what}. It is asked again until that is over; what is shown here is what was known last.`,
    );
  }

  /** Told once, and not again with every number that comes. */
  #set(state: State, word: string, message: string): void {
    document.documentElement.dataset['state'] = state;
    this.#word.dataset['state'] = state;
    this.#numbers.ariaBusy = String(state === 'loading');
    if (this.#word.textContent !== word) this.#word.textContent = word;
    if (this.#message.textContent !== message) this.#message.textContent = message;
    this.#message.hidden = message === '';
  }
}
