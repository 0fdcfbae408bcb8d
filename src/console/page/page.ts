import type { FunctionAnswer, FunctionsAnswer } from '../api-answers.ts';
import { byId, element } from './element.ts';

const EVERY_MS = 5_000;
const status = byId('status');
const message = byId('message');
let shown = '';

/** An error that the console reports in its response. */
class HttpError extends Error {}

async function load(): Promise<void> {
  try {
    const response = await fetch('api/functions');
    const answer = (await response.json()) as FunctionsAnswer | { error: string };
    if ('error' in answer) throw new HttpError(answer.error);
    show(answer);
    setStatus('live', 'Live', '');
  } catch (error) {
    const what =
      error instanceof HttpError
        ? `The console reports an error: ${error.message}`
        : 'The console does not answer';
    setStatus('disconnected', 'Disconnected', `${what}. Retrying…`);
  }
}

/** Shows the status and the message. Unchanged texts are not set again, because screen readers would repeat them. */
function setStatus(state: 'live' | 'disconnected', label: string, text: string): void {
  document.documentElement.dataset['state'] = state;
  status.dataset['state'] = state;
  if (status.textContent !== label) status.textContent = label;
  if (message.textContent !== text) message.textContent = text;
  message.hidden = text === '';
}

function show(answer: FunctionsAnswer): void {
  const text = JSON.stringify(answer);
  if (text === shown) return;
  shown = text;
  const { functions, parked, countedTo } = answer;
  const number = (count: number) => `${count}${count >= countedTo ? '+' : ''}`;
  byId('functions').replaceChildren(...functions.map((each) => card(each, number)));
  byId('parked').replaceChildren(
    ...(parked === 0
      ? ['Nothing is parked: every event was understood.']
      : [
          parked === 1 ? '1 event is parked: ' : `${number(parked)} events are parked: `,
          element('code', {}, 'muster parked'),
          ' shows why.',
        ]),
  );
  if (functions.length === 0) {
    byId('parked').replaceChildren(
      'No function is registered yet: ',
      element('code', {}, 'muster migrate'),
      '.',
    );
  }
}

function card(of: FunctionAnswer, number: (count: number) => string): HTMLElement {
  const { name, page, topic, paused, generation } = of;
  const what =
    topic === null
      ? `Runs for each complete set (definition ${generation})`
      : `Consumes the topic ${topic}`;
  const made = element(
    'section',
    { class: 'function', 'aria-labelledby': `function-${name}` },
    element(
      'header',
      {},
      element('h2', { id: `function-${name}` }, name),
      ...(page === null ? [] : [element('a', { href: page.path }, `Open ${page.title}`)]),
    ),
    element('p', { class: 'what' }, paused ? `${what}, paused` : what),
  );
  if (topic !== null) return made;
  made.append(
    element(
      'dl',
      {},
      pair('Running', number(of.running)),
      pair('Ready to run', number(of.due)),
      pair('Failed', number(of.failed), of.failed > 0),
      pair('Overdue', number(of.overdue), of.overdue > 0),
      pair('Unsent events', number(of.unsent)),
    ),
  );
  for (const state of ['failed', 'overdue'] as const) {
    if (of[state] === 0) continue;
    const command = element('code', {}, `muster sets ${name} --${state}`);
    made.append(element('p', { class: 'how' }, command, ' lists them.'));
  }
  return made;
}

function pair(term: string, value: string, isWrong = false): HTMLElement {
  const attributes: Record<string, string> = isWrong ? { class: 'wrong' } : {};
  return element('div', attributes, element('dt', {}, term), element('dd', {}, value));
}

void load();
setInterval(() => void load(), EVERY_MS);
