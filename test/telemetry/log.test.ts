import { expect, test } from 'vitest';
import { createLog } from '../../src/telemetry/log.ts';

function logging() {
  const lines: Record<string, unknown>[] = [];
  const log = createLog('info', { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

test('a field that is not listed is dropped, and its name is logged', () => {
  const { log, lines } = logging();
  log.info({ function: 'recordings', row: { eeg: 'secret' }, body: 'secret' }, 'ingested');
  expect(lines).toEqual([
    expect.objectContaining({ function: 'recordings', msg: 'ingested', omitted: ['row', 'body'] }),
  ]);
  expect(JSON.stringify(lines)).not.toContain('secret');
});

test('an error is logged with its name, message and stack, without its other properties', () => {
  const { log, lines } = logging();
  const error = Object.assign(new Error('duplicate key value'), { detail: 'Key (email)=(secret)' });
  log.error({ err: error }, 'refused');
  expect(lines[0]!['err']).toEqual({
    message: 'Error: duplicate key value',
    at: expect.arrayContaining([expect.stringContaining('log.test.ts')]),
  });
});

test.for([
  ['of Postgres about a value', Object.assign(new Error('"secret"'), { code: '22P02' })],
  ['of JSON.parse', new SyntaxError(`Unexpected token 's', "secret" is not valid JSON`)],
])('of an error that quotes an invalid value only the kind is logged: %s', ([, error]) => {
  const { log, lines } = logging();
  log.error({ err: error }, 'refused');
  expect(JSON.stringify(lines)).not.toContain('secret');
});
