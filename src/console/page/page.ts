import type { ExplanationAnswer, FunctionsAnswer, SetsAnswer } from '../api-answers.ts';
import { byId } from '../browser/element.ts';
import { showOverview } from './overview.ts';
import { showSet } from './set.ts';
import { showSets, showSetsFrame } from './sets.ts';
import { setStatus } from './status.ts';

const EVERY_MS = 5_000;
let viewed = '';
let shown = '';

/** An error that the console reports in its response. */
class HttpError extends Error {}

/** The view that the fragment of the address names: `#/orders`, `#/orders/4711`, or all functions. */
function view(): readonly [path: string, show: (answer: never) => void] {
  const [, name, key] = location.hash.split('/').map((each) => decodeURIComponent(each));
  if (name === undefined || name === '') {
    return ['api/functions', (answer: FunctionsAnswer) => showOverview(answer)];
  }
  const path = `api/functions/${encodeURIComponent(name)}`;
  if (key === undefined) return [`${path}/sets`, (answer: SetsAnswer) => showSets(name, answer)];
  return [
    `${path}/set?key=${encodeURIComponent(key)}`,
    (answer: ExplanationAnswer) => showSet(answer),
  ];
}

/** A fragment that is no encoded text names all functions. */
function viewOrOverview(): ReturnType<typeof view> {
  try {
    return view();
  } catch {
    location.hash = '';
    return view();
  }
}

/** Empties the view, except for what can be shown without an answer. */
function frame(path: string): void {
  byId('detail').replaceChildren();
  const [, name] = /^api\/functions\/([^/]+)\/sets$/.exec(path) ?? [];
  if (name !== undefined) showSetsFrame(decodeURIComponent(name));
}

async function load(): Promise<void> {
  const [path, show] = viewOrOverview();
  const isOverview = path === 'api/functions';
  byId('overview').hidden = !isOverview;
  byId('detail').hidden = isOverview;
  if (path !== viewed) frame(path);
  viewed = path;
  try {
    const response = await fetch(path);
    const answer = (await response.json()) as object;
    if (path !== viewOrOverview()[0]) return; // the view has changed
    if ('error' in answer) throw new HttpError(String(answer.error));
    // Unchanged content is not set again: it would lose the focus and the selection.
    const text = `${path} ${JSON.stringify(answer)}`;
    if (text !== shown) show(answer as never);
    shown = text;
    setStatus('live', 'Live', '');
  } catch (error) {
    const what =
      error instanceof HttpError
        ? `The console reports an error: ${error.message}`
        : 'The console does not answer';
    setStatus('disconnected', 'Disconnected', `${what}. Retrying…`);
  }
}

window.addEventListener('hashchange', () => {
  shown = '';
  void load();
});
void load();
setInterval(() => void load(), EVERY_MS);
