import { expect } from 'vitest';
import { knativeRequests } from '../fixtures.ts';
import { Recorder, speak, test } from '../server.ts';

const ingested = ['change-event', 'change-event-headers', 'dead-letter-422', 'dead-letter-503'];
const ignored = [
  'tombstone-key',
  'tombstone-no-key',
  'empty-value',
  'ce-batch',
  'ce-binary',
  'ce-binary-no-content-type',
  'ce-binary-null-value',
  'ce-binary-other-headers',
  'ce-structured',
  'ce-structured-base64',
  'ce-structured-charset',
  'ce-structured-extensions',
  'ce-structured-no-data',
  'ce-structured-null-data',
  'ce-structured-text-data',
];
const refused: Record<string, number> = {
  'sink-with-path': 404,
};
const statusOf = (name: string) =>
  ingested.includes(name) || ignored.includes(name) ? 204 : (refused[name] ?? 202);

test('there are 39 requests of a real KafkaSource', () => {
  expect(knativeRequests).toHaveLength(39);
});

test.for(knativeRequests)(
  'KafkaSource’s $name, byte for byte, gets the expected status',
  async ({ name, method, target, headers, body }, { serve }) => {
    const intake = new Recorder();
    const { port, counted } = await serve(intake);
    const head = headers.map(([header, value]) => `${header}: ${value}\r\n`).join('');
    const answer = await speak(
      port,
      Buffer.from(`${method} ${target} HTTP/1.1\r\n${head}connection: close\r\n\r\n`, 'latin1'),
      body,
    );
    expect(Number(answer.slice(9, 12))).toBe(statusOf(name));
    const changes = intake.ingested.filter(({ kind }) => kind !== 'event');
    expect(changes).toHaveLength(ingested.includes(name) ? 1 : 0);
    expect(intake.parked).toHaveLength(statusOf(name) === 202 ? 1 : 0);
    const results = counted.filter((each) => !each.startsWith('unwantedTypes'));
    expect(results).toHaveLength(name === 'ce-batch' ? 2 : 1);
  },
);
