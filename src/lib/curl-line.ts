/** Returns a command that posts a message as an event; its answer explains the sets that the event touched. */
export function curlLine(url: string, id: string, message: string): string {
  // Line breaks of JSON are outside of its strings.
  const body = message.trim().replaceAll(/\s*\n\s*/g, ' ');
  return [
    `curl ${url} -H 'ce-specversion: 1.0' -H 'ce-type: dev.knative.kafka.event' -H 'ce-source: /me'`,
    `-H 'ce-id: ${id}' -H 'Prefer: return=representation' -d '${body.replaceAll("'", `'\\''`)}'`,
  ].join(' ');
}
