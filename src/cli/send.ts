import { readFileSync } from 'node:fs';
import { post, type Destination } from './post.ts';

/** Posts each event of a file and prints the answer; throws at the end if one was not taken. */
export async function run(file: string, options: Destination): Promise<void> {
  const text = readFileSync(file === '-' ? 0 : file, 'utf8');
  const events = split(text);
  let refused = 0;
  for (const [i, event] of events.entries()) {
    const { status, text: answer } = await post(options, ...toRequest(event, i));
    process.stdout.write(`${status} ${answer}\n`);
    if (status >= 300) refused++;
  }
  if (refused > 0) throw new Error(`${refused} of ${events.length} events were refused`);
}

/** A file is one JSON value, or one in each line. */
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
