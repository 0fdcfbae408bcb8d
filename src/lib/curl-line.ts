import { quoteForShell } from './quote-for-shell.ts';

/** Whether a text is a CloudEvent in structured mode; any other message is what a KafkaSource makes an event of. */
export function isCloudEvent(message: string): boolean {
  if (!message.includes('"specversion"')) return false;
  try {
    const { specversion } = JSON.parse(message) as { specversion?: unknown };
    return typeof specversion === 'string';
  } catch {
    return false;
  }
}

/** Returns a command that posts a message as an event; its answer explains the sets that the event touched. */
export function curlLine(url: string, id: string, message: string): string {
  // Line breaks of JSON are outside of its strings.
  const body = message.trim().replaceAll(/\s*\n\s*/g, ' ');
  const headers = isCloudEvent(message)
    ? "-H 'content-type: application/cloudevents+json'"
    : `-H 'ce-specversion: 1.0' -H 'ce-type: dev.knative.kafka.event' -H 'ce-source: /me' -H 'ce-id: ${id}'`;
  return `curl ${url} ${headers} -H 'Prefer: return=representation' -d ${quoteForShell(body)}`;
}
