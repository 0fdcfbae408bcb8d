import { readFileSync } from 'node:fs';

/** Posts each event of a file and prints the answer; throws at the end if one was not taken. */
export async function run(file: string, options: { to: string }): Promise<void> {
  const text = readFileSync(file === '-' ? 0 : file, 'utf8');
  const events = split(text);
  let refused = 0;
  for (const [i, event] of events.entries()) {
    const response = await fetch(options.to, { method: 'POST', ...toRequest(event, i) }).catch(
      (error: Error) => {
        throw new Error(
          `${options.to} can't be reached: ${(error.cause as Error | undefined)?.message ?? error.message}`,
        );
      },
    );
    const answer = await response.text();
    process.stdout.write(`${response.status} ${answer}\n`);
    if (!response.ok) refused++;
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

function toRequest(event: string, i: number): { headers: Record<string, string>; body: string } {
  const prefer = 'return=representation';
  if (/"specversion"\s*:/.test(event)) {
    return { headers: { 'content-type': 'application/cloudevents+json', prefer }, body: event };
  }
  return {
    headers: {
      'ce-specversion': '1.0',
      'ce-id': `send/${Date.now()}/${i}`,
      'ce-source': '/muster/send',
      'ce-type': 'dev.knative.kafka.event',
      'content-type': 'application/json',
      prefer,
    },
    body: event,
  };
}
