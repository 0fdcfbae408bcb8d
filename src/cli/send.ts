import { readFileSync } from 'node:fs';
import { plural } from '../doctor/plural.ts';
import type { JsonOption } from './print-result.ts';
import { checkDestination, parsed, post, requireReadable, type Destination } from './post.ts';
import { WrongUse } from './wrong-use.ts';

export interface SendOptions extends Destination, JsonOption {}

/** Posts each event of a file and prints the answer; throws at the end if one was rejected or parked. */
export async function run(file: string, options: SendOptions): Promise<void> {
  checkDestination(options);
  if (file !== '-') requireReadable('file', file);
  const events = split(readFileSync(file === '-' ? 0 : file, 'utf8'));
  if (events.length === 0) throw new WrongUse(`there is no event in ${file}`);
  let rejected = 0;
  let parked = 0;
  for (const [i, event] of events.entries()) {
    const { status, text } = await post(options, ...toRequest(event, i));
    const line = options.json
      ? JSON.stringify({ status, answer: parsed(text) })
      : `${status} ${text}`;
    process.stdout.write(`${line}\n`);
    if (status >= 300) rejected++;
    if (status === 202) parked++;
  }
  const failed = [
    ...(rejected > 0 ? [`${rejected} rejected`] : []),
    ...(parked > 0 ? [`${parked} parked`] : []),
  ];
  if (failed.length > 0) {
    throw new Error(`of ${plural(events.length, 'event')}: ${failed.join(', ')}`);
  }
}

/** Splits the text of a file into events: one JSON value, or one per line. */
function split(text: string): string[] {
  try {
    JSON.parse(text);
    return [text];
  } catch {
    return text.split('\n').filter((line) => line.trim() !== '');
  }
}

function toRequest(event: string, i: number): [headers: Record<string, string>, body: string] {
  const prefer = 'return=representation';
  if (/"specversion"\s*:/.test(event)) {
    return [{ 'content-type': 'application/cloudevents+json', prefer }, event];
  }
  return [
    {
      'ce-specversion': '1.0',
      'ce-id': `send/${Date.now()}/${i}`,
      'ce-source': '/muster/send',
      'ce-type': 'dev.knative.kafka.event',
      'content-type': 'application/json',
      prefer,
    },
    event,
  ];
}
