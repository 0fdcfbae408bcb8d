import { curlLine } from '../../../lib/curl-line.ts';
import { byId, element } from '../../browser/element.ts';
import { setStatus } from '../../page/status.ts';
import type { ExamplesAnswer, SendAnswer } from '../answers.ts';
import { showAnswer, showFailure, showSending } from './answer.ts';
import { raiseLsn } from './raise-lsn.ts';

type Example = ExamplesAnswer['functions'][number]['examples'][number];

const EVERY_MS = 5_000;
const NO_CONSOLE =
  'The console does not answer: muster dev is reloading, or has ended. The message stays here';
const functions = byId<HTMLSelectElement>('function');
const parts = byId<HTMLSelectElement>('part');
const text = byId<HTMLTextAreaElement>('text');
/** Edited messages, by function and part, so that another choice loses none. */
const drafts = new Map<string, string>();
let answer: ExamplesAnswer = { url: '', functions: [] };
let chosen = '';
let isSending = false;

function examplesOf(name: string): readonly Example[] {
  return answer.functions.find((each) => each.name === name)?.examples ?? [];
}

/** Sets the options, and keeps the choice if there is still such an option. */
function setOptions(select: HTMLSelectElement, labels: readonly string[]): void {
  const before = select.value;
  select.replaceChildren(...labels.map((each) => element('option', {}, each)));
  if (labels.includes(before)) select.value = before;
}

function labelOf({ part, row, of }: Example): string {
  return of === 1 ? part : `${part}, row ${row} of ${of}`;
}

function example(): Example | undefined {
  return examplesOf(functions.value).find((each) => labelOf(each) === parts.value);
}

function showParts(): void {
  setOptions(parts, examplesOf(functions.value).map(labelOf));
  showMessage();
}

/** Shows the message of the chosen part: the one that was edited, or the example. */
function showMessage(): void {
  const now = JSON.stringify([functions.value, parts.value]);
  if (now === chosen) return;
  chosen = now;
  text.value = drafts.get(now) ?? example()?.message ?? '';
  showCurl();
}

function showCurl(): void {
  byId('curl').textContent = curlLine(answer.url, '1', text.value);
  byId('copied').textContent = '';
}

function edited(): void {
  drafts.set(chosen, text.value);
  showCurl();
}

async function load(): Promise<void> {
  try {
    const response = await fetch('examples');
    const body = (await response.json()) as ExamplesAnswer | { readonly error: string };
    if ('error' in body) throw new Error(body.error);
    const shapeOf = (each: ExamplesAnswer) =>
      JSON.stringify(each.functions.map(({ name, examples }) => [name, examples.map(labelOf)]));
    const isNew = shapeOf(body) !== shapeOf(answer);
    answer = body;
    byId('none').hidden = body.functions.length > 0;
    byId('columns').hidden = body.functions.length === 0;
    // Equal options are not set again: an open list would close.
    if (isNew) {
      const names = body.functions.map(({ name }) => name);
      setOptions(functions, names);
      showParts();
    }
    setStatus('live', 'Live', '');
  } catch (error) {
    const isAway = error instanceof TypeError; // fetch got no answer
    const what = isAway ? NO_CONSOLE : `The console reports an error: ${(error as Error).message}`;
    setStatus('disconnected', 'Disconnected', `${what}. Retrying…`);
  }
}

async function send(): Promise<void> {
  if (isSending) return;
  isSending = true;
  showSending();
  try {
    const response = await fetch('events', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ message: text.value }),
    });
    const body = (await response.json()) as SendAnswer | { readonly error: string };
    if ('error' in body) {
      showFailure(body.error);
      return;
    }
    showAnswer(body);
    if (body.outcome === 'ingested' && raiseLsn(text)) edited();
  } catch {
    showFailure(`${NO_CONSOLE}: send it again. An event that arrives twice counts once.`);
  } finally {
    isSending = false;
  }
}

async function copy(): Promise<void> {
  const line = byId('curl');
  try {
    await navigator.clipboard.writeText(line.textContent);
    byId('copied').textContent = 'Copied';
  } catch {
    getSelection()?.selectAllChildren(line);
    byId('copied').textContent = 'The browser permits no copy: the line is selected instead';
  }
}

functions.addEventListener('change', showParts);
parts.addEventListener('change', showMessage);
text.addEventListener('input', edited);
byId('copy').addEventListener('click', () => void copy());
byId('reset').addEventListener('click', () => {
  text.value = example()?.message ?? '';
  edited();
});
byId('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void send();
});
void load();
setInterval(() => void load(), EVERY_MS);
