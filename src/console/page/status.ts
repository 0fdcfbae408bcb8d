import { byId } from '../browser/element.ts';

const status = byId('status');
const message = byId('message');

/** Shows the status and the message. Unchanged texts are not set again, because screen readers would repeat them. */
export function setStatus(state: 'live' | 'disconnected', label: string, text: string): void {
  document.documentElement.dataset['state'] = state;
  status.dataset['state'] = state;
  if (status.textContent !== label) status.textContent = label;
  if (message.textContent !== text) message.textContent = text;
  message.hidden = text === '';
}
